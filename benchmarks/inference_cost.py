"""How well the time of an MD step is predicted at a size that was never timed: `python benchmarks/inference_cost.py`.

Times a ladder of sizes of each family on one thread, energies and forces of one structure of 100 and of 1,000 atoms, in
rounds over all sizes, of which the fastest counts; then leaves out each size in turn, fits floor + scale N^power to the
others, as `Fit.md_step_ms` does, and predicts it. The sizes at the ends of the ladder are extrapolations. Wanted:
within 10 %. How far the second fastest round is from the fastest tells how well the machine lets itself be timed.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import torch

from raysweep.core.trial import TrialSpec
from raysweep.data.generation.xtb import make_store
from raysweep.data.store.store import Store, open_store
from raysweep.frontier.fitting.costs import TIMED, fit_step_cost
from raysweep.training import build
from raysweep.training.cost.inference import MD_ATOMS
from raysweep.training.device.memory import keep_freed_memory

LADDERS: dict[str, tuple[str, dict[str, int], list[int]]] = {
    "mpnn": ("mpnn", {"depth": 2}, [16, 32, 48, 64, 96, 128]),
    "egnn": ("egnn", {"depth": 2}, [8, 16, 24, 32, 48, 64]),
    "gemnet": ("gemnet", {"depth": 2}, [8, 16, 24, 32, 48, 64]),
    "tensor l=1": ("tensor", {"depth": 2, "l_max": 1}, [4, 8, 12, 16, 24, 32]),
    "tensor l=2": ("tensor", {"depth": 2, "l_max": 2}, [4, 8, 12, 16, 24, 32]),
}


def main() -> None:
    """Print, for each family, force mode and structure, the error of the prediction of each size from the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", default="runs/quickstart/data")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--forces", nargs="+", default=["direct", "conservative"])
    parser.add_argument("--only", help="part of a family's name")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    if not Path(arguments.store).exists():
        make_store(Path(arguments.store), structures=2000)
    store = open_store(arguments.store)
    errors: dict[str, list[float]] = {"inside": [], "ends": []}
    for forces in arguments.forces:
        for label in (label for label in LADDERS if not arguments.only or arguments.only in label):
            params, times = timed(label, forces, store, torch.device(arguments.device), arguments.rounds)
            for atoms, of_rounds in times.items():
                report(f"{label}, {forces}, {atoms} atoms", params, of_rounds, errors)
    print(f"load {os.getloadavg()[0]:.1f}")
    for place, found in errors.items():
        away = np.abs(found)
        print(
            f"{place}: median error {np.median(away):.1%}, 90 % within {np.quantile(away, 0.9):.1%}, "
            f"{np.mean(away < 0.1):.0%} within 10 % of {away.size}"
        )


def timed(
    label: str, forces: str, store: Store, device: torch.device, rounds: int
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """N of each size, and by atoms the milliseconds of an MD step, shape (rounds, sizes)."""
    architecture, fixed, widths = LADDERS[label]
    specs = [
        TrialSpec(
            architecture=architecture,
            size={"width": width, **fixed},
            forces=forces,  # type: ignore[arg-type]
            fingerprint=store.manifest.fingerprint,
            structures=build.COST_SAMPLE,
            learning_rate=0.01,
        )
        for width in widths
    ]
    params = [sum(p.numel() for p in build.build_model(spec, store).parameters()) for spec in specs]
    found = []
    for _ in range(rounds):
        build._INFERENCE.clear()
        found.append([build.inference_of(spec, store, device).md_ms for spec in specs])
    kept = [atoms for atoms in MD_ATOMS if all(atoms in ms for row in found for ms in row)]
    return np.array(params, float), {atoms: np.array([[ms[atoms] for ms in row] for row in found]) for atoms in kept}


def report(label: str, params: np.ndarray, times: np.ndarray, errors: dict[str, list[float]]) -> None:
    """Print a line, and add to the errors."""
    fastest, away = times.min(axis=0), []
    for left_out in range(params.size):
        cost = fit_step_cost(np.delete(params, left_out), np.delete(fastest, left_out), TIMED)
        away.append(float(cost.cost(params[left_out])) / fastest[left_out] - 1)
    errors["inside"] += away[1:-1]
    errors["ends"] += [away[0], away[-1]]
    spread = float(np.median(np.sort(times, axis=0)[min(1, len(times) - 1)] / fastest - 1))
    shown: list[str] = [f"{error:+.0%}" for error in away]
    print(
        f"{label:<34} {fastest[0]:7.2f} to {fastest[-1]:7.2f} ms; errors {' '.join(shown)}; "
        f"second fastest round {spread:.1%} slower",
        flush=True,
    )


if __name__ == "__main__":
    main()
