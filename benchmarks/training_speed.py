"""Training speed of every family: `python benchmarks/training_speed.py [--device cuda] [--batch-atoms 128]`.

Whole training steps (forward, loss, backward, clipping, update, gathering of batches), on one thread or one GPU, on the
embedded data; the median of several stretches. Wanted on a core, direct forces: mpnn of width 64 at least 1,100
structures/s, egnn of width 64 at least 770, tensor l = 2 of width 32 at least 220. On a GPU the share of the time that
kernels run and the peak memory are printed too. With `--compile` compiled steps as well (`training.compile`), and what
compiling took; set TORCHINDUCTOR_CACHE_DIR to an empty folder, or it is what is left of compilations before.
"""

import argparse
import os
import statistics
import time
from itertools import product
from pathlib import Path

import torch

from raysweep.core.trial import TrialSpec
from raysweep.data.generation.xtb import make_store
from raysweep.data.store.store import open_store
from raysweep.models import registry as models
from raysweep.training.cost.measure import Stopwatch
from raysweep.training.device.devices import device_name
from raysweep.training.trajectory import Trajectory

NETWORKS = {
    "mpnn": ("mpnn", {"width": 64}),
    "egnn": ("egnn", {"width": 64}),
    "gemnet": ("gemnet", {"width": 64}),
    "tensor l=1": ("tensor", {"width": 32, "l_max": 1}),
    "tensor l=2": ("tensor", {"width": 32, "l_max": 2}),
    "tensor l=2 so2": ("tensor", {"width": 32, "l_max": 2, "convolution": "so2", "correlation": 1}),
    "tensor l=4": ("tensor", {"width": 16, "l_max": 4}),
    "tensor l=4 so2": ("tensor", {"width": 16, "l_max": 4, "convolution": "so2", "correlation": 1}),
    "hybrid": ("hybrid", {"width": 32, "layers": "invariant tensor", "l_max": 2}),
    "schnet": ("schnet", {"width": 64}),
    "dimenetpp": ("dimenetpp", {"width": 64}),
    "visnet": ("visnet", {"width": 64}),
}


def kernel_share(run: Trajectory, steps: int) -> float:
    """Return the share of the wall-clock in which kernels run, summed over kernels (one stream)."""
    from torch.profiler import ProfilerActivity, profile

    began = time.perf_counter()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for _ in range(steps):
            run.step(Stopwatch(run.device))
        torch.cuda.synchronize()
        wall = time.perf_counter() - began
    return sum(event.self_device_time_total for event in profiler.key_averages()) / 1e6 / wall


def main() -> None:
    """Print a line for each network and force mode."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", default="runs/quickstart/data")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch-atoms", type=int, default=128)
    parser.add_argument("--stretches", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="of a stretch")
    parser.add_argument("--only", help="part of a network's name")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--compile", action="store_true", help="time compiled steps after plain ones")
    parser.add_argument("--forces", nargs="+", default=["direct", "conservative"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not Path(arguments.store).exists():
        make_store(Path(arguments.store), structures=4000)
    store, device = open_store(arguments.store), torch.device(arguments.device)
    print(f"{device_name(device)}, batches of {arguments.batch_atoms} atoms, load {os.getloadavg()[0]:.1f}")
    for label, (architecture, size) in NETWORKS.items():
        if arguments.only and arguments.only not in label:
            continue
        compiles = (
            (False, True) if arguments.compile and models.architecture(architecture).network.compiles else (False,)
        )
        for forces, compiled in product(arguments.forces, compiles):
            spec = TrialSpec(
                architecture=architecture, size=size, forces=forces, structures=3500, epochs=1000, learning_rate=1e-3,
                fingerprint=store.manifest.fingerprint, validation_structures=32, batch_atoms=arguments.batch_atoms,
                precision=arguments.precision, compile=compiled,
            )  # fmt: skip
            run = Trajectory(spec, store, device)
            run.resume_training()
            began = time.perf_counter()
            run.step(Stopwatch(device))
            first = time.perf_counter() - began
            for _ in range(5):
                run.step(Stopwatch(device))
            speeds = []
            for _ in range(arguments.stretches):
                before, atoms = run.progress.structures, run.progress.atoms
                began = time.perf_counter()
                for _ in range(arguments.steps):
                    run.step(Stopwatch(device))
                if device.type == "cuda":
                    torch.cuda.synchronize()
                seconds = time.perf_counter() - began
                speeds.append(((run.progress.structures - before) / seconds, (run.progress.atoms - atoms) / seconds))
            structures, atoms = (statistics.median(column) for column in zip(*speeds, strict=True))
            best = max(speed for speed, _ in speeds)
            line = (
                f"{label:15s} {' '.join(f'{k}={v}' for k, v in size.items()):45s} {forces:12s} {structures:8.0f} "
                f"structures/s (best {best:.0f}) {atoms:9.0f} atoms/s {run.cost.params:9d} parameters"
            )
            if run.compiled is not None:
                line += f" compiled in {first:.0f} s, {run.compiled.compilations} program(s)"
            if device.type == "cuda":
                share, peak = kernel_share(run, arguments.steps), torch.cuda.max_memory_allocated() / 2**20
                line += f" {share:4.0%} in kernels, {peak:.0f} MiB"
                torch.cuda.reset_peak_memory_stats()
            print(line, flush=True)


if __name__ == "__main__":
    main()
