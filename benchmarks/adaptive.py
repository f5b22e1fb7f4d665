"""FLOPs that `run --adaptive` needs for the interval of a that the full grid gives, on a surface with known truth.

    python benchmarks/adaptive.py [--replicates 20]

The law is Chinchilla's (see frontier_simulation.py). The grid: 8 sizes, each half a decade larger, 8 data budgets on
each trajectory, 3 seeds; .5 % noise, half of its variance common to all points of a trajectory. The rounds may take
other seeds, too (`adaptive.seeds`). They are chosen by the code that a sweep runs
(`raysweep.sweep.stages.adaptive`); only the losses come from the law.
"""

import argparse

import numpy as np
import pyarrow as pa
from frontier_simulation import NOISE, TRUTH, loss

from raysweep.frontier import fit
from raysweep.sweep.space.parts import Adaptive
from raysweep.sweep.stages.adaptive import Candidate, first_round, next_round

SIZES = np.geomspace(1e7, 10**10.5, 8)
DATA = np.geomspace(1e9, 10**12.5, 8)
GRID_SEEDS = 3
COMMON = 0.5
"""Share of the noise's variance that the points of a trajectory have in common."""


def main():
    """Print for each replicate the widths, and the FLOPs over those of the grid."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=12, help="that the rounds may choose from; the grid has 3")
    arguments = parser.parse_args()
    shares, covered = [], [0, 0]
    for replicate in range(arguments.replicates):
        noise = Noise(replicate, arguments.seeds)
        candidates = trajectories(arguments.seeds)
        full = [c for c in candidates if len(c.atoms) == len(DATA) and c.seed < GRID_SEEDS]
        grid = fit(noise.points(full)).interval("a")
        settings = Adaptive(width=grid.high - grid.low)
        taken, rounds, coming = [], 0, first_round(candidates, settings)
        while coming.chosen:
            rounds += 1
            taken += coming.chosen
            coming = next_round(candidates, {c.trial_id for c in taken}, noise.points(taken), settings)
        low, high = coming.interval
        spent, all_of_it = (sum(candidate.flops for candidate in some) for some in (taken, full))
        shares.append(spent / all_of_it)
        covered[0] += grid.low <= TRUTH[0] <= grid.high
        covered[1] += low <= TRUTH[0] <= high
        print(
            f"{replicate:>3}: grid {len(full)} trajectories, width {grid.high - grid.low:.4f}; "
            f"adaptive {len(taken)} in {rounds} rounds, width {high - low:.4f} ({coming.ended}), "
            f"{shares[-1]:.3f} of the FLOPs",
            flush=True,
        )
    print(
        f"median {np.median(shares):.3f}, largest {max(shares):.3f} of the grid's FLOPs (bar .333); "
        f"the true a lies in {covered[0]} of the grid's and {covered[1]} of the adaptive intervals of {len(shares)}"
    )


def trajectories(seeds):
    """Return every trajectory of the grid at each of its lengths."""
    return [
        Candidate(
            trial_id=f"{size:.6g} {seed} {end}",
            size=f"{size:.6g}",
            seed=seed,
            run=f"{size:.6g} {seed}",
            params=int(size),
            atoms=tuple(DATA[:end]),
            flops=6 * size * DATA[end - 1],
        )
        for size in SIZES
        for seed in range(seeds)
        for end in range(1, len(DATA) + 1)
    ]


class Noise:
    """Errors of ln loss, the same for a trajectory however long it is."""

    def __init__(self, replicate, seeds):
        generator = np.random.default_rng([replicate, 23])
        runs = (len(SIZES), seeds, 1)
        own = generator.normal(size=(*runs[:2], len(DATA)))
        self.errors = NOISE * (np.sqrt(1 - COMMON) * own + np.sqrt(COMMON) * generator.normal(size=runs))

    def points(self, chosen):
        """Return the points on some trajectories."""
        params = np.concatenate([np.full(len(c.atoms), float(c.params)) for c in chosen])
        data = np.concatenate([np.array(c.atoms) for c in chosen])
        errors = np.concatenate([self._of(candidate) for candidate in chosen])
        run = np.concatenate([np.full(len(c.atoms), c.run) for c in chosen])
        seen = {"params": params, "data": data, "flops": 6 * params * data, "loss": loss(params, data) * np.exp(errors)}
        return pa.table({**seen, "trajectory": run})

    def _of(self, candidate):
        size = int(np.argmin(abs(SIZES - candidate.params)))
        return self.errors[size, candidate.seed, : len(candidate.atoms)]


if __name__ == "__main__":
    main()
