"""muP for every family: `python benchmarks/transfer.py [--store build/transfer/data] [--only gemnet]`.

Runs `raysweep check-transfer` for each family at depth 2: trains widths 16 and 128 at learning rates a factor 2 apart,
and follows activations over widths 16 ... 256 for the first 20 steps. Wanted: the best rate at width 16 within a factor
2 of the best at 128, and no activation whose scale differs by a factor 2 or more. A figure for each family is written
to `--out`. Takes about an hour on two cores.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from raysweep.data.generation.xtb import make_store

RATES = "0.005,0.01,0.02,0.04,0.08"
FAMILIES = {
    "mpnn": ("mpnn", [], RATES, 4000),
    "egnn": ("egnn", [], RATES, 3000),
    "gemnet": ("gemnet", [], RATES, 1500),
    "tensor l=1": ("tensor", ["l_max=1"], RATES, 2000),
    "tensor l=2": ("tensor", ["l_max=2"], RATES, 1000),
    "tensor l=2 so2": ("tensor", ["l_max=2", "convolution=so2", "correlation=1"], RATES, 1000),
    "hybrid": ("hybrid", ["layers=invariant tensor", "l_max=2"], RATES, 1500),
    "schnet": ("schnet", [], RATES, 3000),
    "dimenetpp": ("dimenetpp", [], RATES, 1000),
    "visnet": ("visnet", [], RATES, 1000),
}
"""By label: architecture, knobs, learning rates at width 16, structures of a training."""


def main() -> None:
    """Print a line for each family."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", default="build/transfer/data", help="made where it is absent")
    parser.add_argument("--only", help="part of a label")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--out", default="build/transfer")
    arguments = parser.parse_args()
    if not Path(arguments.store).exists():
        make_store(Path(arguments.store), structures=6000)
    for label, (architecture, knobs, rates, structures) in FAMILIES.items():
        if arguments.only and arguments.only not in label:
            continue
        command = [
            str(Path(sys.executable).with_name("raysweep")),
            "check-transfer",
            architecture,
            arguments.store,
            *knobs,
        ]
        command += ["--widths", "16,128", "--rates", rates, "--structures", str(structures), "--json"]
        command += ["--seeds", arguments.seeds, "--out", str(Path(arguments.out) / label.replace(" ", "-"))]
        if architecture != "hybrid":
            command.append("depth=2")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not done.stdout:
            print(f"{label:15s} failed: {done.stderr.strip().splitlines()[-1]}", flush=True)
            continue
        check = json.loads(done.stdout)
        shift = "none" if check["shift"] is None else f"{check['shift']:.2f}"
        lowest = {w: min(min(of) for _, of in rows if None not in of) for w, rows in check["losses"].items()}
        print(
            f"{label:15s} best rates {check['best']} apart by {shift}, losses "
            f"{ {w: round(loss, 3) for w, loss in lowest.items()} }; activations drift by {check['drift']:.2f} "
            f"({check['drift_module']}), outputs by {check['output_drift']:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
