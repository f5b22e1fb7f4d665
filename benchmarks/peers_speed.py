"""Training speed against mace-torch and nequip: `python benchmarks/peers_speed.py [--environments build/peers]`.

Each peer is installed with pip into a virtual environment of its own, made where it is absent. All train on the same
batches of 8 structures of the embedded data, on one thread, with the same irreps, layers and cutoff and conservative
forces: forward, loss on energies and forces, backward as each package's own loop does it (raysweep to the weights
alone and keeping freed memory, the peers on to the positions; `--weights-only` spares them that, too). Processes take
turns, several times each; printed is the median of structures per processor second, and the largest. mace has
correlation 3 by default and is measured with 2, ours, too; nequip is measured without parity, so with the same irreps
as ours. Other work on the machine disturbs the best of each least. Wanted: `tensor` at least twice as fast as both, at
both degrees.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np

from raysweep.data.generation.xtb import make_store
from raysweep.data.graphs.batches import load_graphs
from raysweep.data.store.store import open_store

TORCH = "torch==2.13.0"
PEERS = {"mace": "mace-torch==0.3.16", "nequip": "nequip==0.19.1"}
IRREPS = {1: "16x0e+16x1o", 2: "16x0e+16x1o+16x2e"}
CASES = {
    "mace, correlation 3": ("mace", {"correlation": 3}),
    "mace, correlation 2": ("mace", {"correlation": 2}),
    "nequip": ("nequip", {}),
    "tensor sparse": ("raysweep", {"knobs": {"convolution": "sparse"}}),
    "tensor so2": ("raysweep", {"knobs": {"convolution": "so2"}}),
    "tensor so2, correlation 1": ("raysweep", {"knobs": {"convolution": "so2", "correlation": 1}}),
}
WORKER = Path(__file__).with_name("peers_speed_worker.py")


def environment(folder: Path, package: str) -> Path:
    """Return the Python of the environment that holds a package, made where it is absent."""
    python = folder / "bin" / "python"
    name = package.partition("==")[0]
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    if subprocess.run([str(python), "-m", "pip", "show", "-q", name], capture_output=True, check=False).returncode:
        print(f"installing {package} into {folder}", flush=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", TORCH, package], check=True)
    return python


def write_batches(path: Path, store_path: Path, n_batches: int) -> str:
    """Write the batches to a file and return a line that says what they hold."""
    if not store_path.exists():
        make_store(store_path, structures=500)
    store = open_store(str(store_path))
    graphs = load_graphs(store, store.subset(8 * n_batches), 5.0)
    arrays, n_atoms, n_edges = {}, 0, 0
    for i in range(n_batches):
        batch = graphs.batch(np.arange(8 * i, 8 * i + 8))
        for key in ("numbers", "positions", "senders", "receivers", "energy", "forces"):
            arrays[f"{i}/{key}"] = getattr(batch, key).numpy()
        arrays[f"{i}/n_atoms"] = batch.n_atoms.numpy().astype(np.int64)
        n_atoms, n_edges = n_atoms + len(batch.numbers), n_edges + len(batch.senders)
    np.savez(path, **arrays)
    return f"{n_batches} batches of 8 structures, {n_atoms} atoms, {n_edges} edges"


def main() -> None:
    """Print a line for each network and degree, and the ratios that are wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--environments", type=Path, default=Path("build/peers"))
    parser.add_argument("--store", type=Path, default=Path("runs/quickstart/data"))
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5, help="over all batches in a process")
    parser.add_argument("--turns", type=int, default=3, help="processes of each network")
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--weights-only", action="store_true", help="differentiate the peers' weights alone, too")
    arguments = parser.parse_args()
    pythons = {name: environment(arguments.environments / name, package) for name, package in PEERS.items()}
    pythons["raysweep"] = Path(sys.executable)
    file = arguments.environments / "batches.npz"
    print(write_batches(file, arguments.store, arguments.batches), f"load {os.getloadavg()[0]:.1f}", flush=True)
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
    for l_max, irreps in IRREPS.items():
        speeds: dict[str, list[float]] = {label: [] for label in CASES}
        walls: dict[str, list[float]] = {label: [] for label in CASES}
        parameters = {}
        shared = {"l_max": l_max, "irreps": irreps, "channels": 16}
        for _ in range(arguments.turns):
            for label, (package, case) in CASES.items():
                case = {
                    **shared, **case, "layers": arguments.layers, "rounds": arguments.rounds,
                    "batches": arguments.batches, "weights_only": arguments.weights_only,
                }  # fmt: skip
                command = [str(pythons[package]), str(WORKER), package, json.dumps(case), str(file)]
                done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise SystemExit(f"{label} failed:\n{done.stderr[-2000:]}")
                result = json.loads(done.stdout.splitlines()[-1])
                speeds[label] += [processor for processor, _ in result["speeds"]]
                walls[label] += [wall for _, wall in result["speeds"]]
                parameters[label] = result["parameters"]
        median = {label: statistics.median(values) for label, values in speeds.items()}
        for label in CASES:
            print(
                f"{irreps:20s} {label:26s} {median[label]:7.0f} structures/s (best {max(speeds[label]):.0f}; by the "
                f"wall clock {statistics.median(walls[label]):.0f}) {parameters[label]:8d} parameters"
            )
        for ours in ("tensor sparse", "tensor so2"):
            ratios = (
                f"{median[ours] / median[peer]:.2f} x {peer} (best: {max(speeds[ours]) / max(speeds[peer]):.2f})"
                for peer in CASES
                if not peer.startswith("tensor")
            )
            print(f"{irreps:20s} {ours}: {'; '.join(ratios)} (at least 2)", flush=True)


if __name__ == "__main__":
    main()
