"""How long the device waits for batches: `python benchmarks/loader.py [--store runs/quickstart/data] [--device cuda]`.

Trains small and large members of two families for some steps, as a trial does, and prints the share of the wall-clock
that lies outside forward, backward and update, on batches of the default size. At most 3 % is wanted. One thread.
"""

import argparse
import time
from pathlib import Path

import torch

from raysweep.core.trial import TrialSpec
from raysweep.data.generation.xtb import make_store
from raysweep.data.store.store import open_store
from raysweep.training.cost.measure import Stopwatch
from raysweep.training.trajectory import Trajectory


def main() -> None:
    """Print a line for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", default="runs/quickstart/data")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not Path(arguments.store).exists():
        make_store(Path(arguments.store), structures=4000)
    store = open_store(arguments.store)
    device = torch.device(arguments.device)
    for forces in ("conservative", "direct"):
        for architecture, width in (("mpnn", 8), ("mpnn", 64), ("egnn", 4), ("egnn", 32)):
            spec = TrialSpec(
                architecture=architecture, size={"width": width, "depth": 2}, forces=forces, structures=3500,
                epochs=100, fingerprint=store.manifest.fingerprint, learning_rate=1e-3, validation_structures=64,
            )  # fmt: skip
            run = Trajectory(spec, store, device)
            run.resume_training()
            for _ in range(20):
                run.step(Stopwatch(device))
            watch = Stopwatch(device)
            began = time.perf_counter()
            for _ in range(arguments.steps):
                run.step(watch)
            seconds = watch.seconds
            wall = time.perf_counter() - began
            print(
                f"{architecture:5s} width {width:3d} {forces:12s} {wall / arguments.steps * 1e3:7.2f} ms a step, "
                f"the device waits {1 - seconds / wall:6.1%}"
            )


if __name__ == "__main__":
    main()
