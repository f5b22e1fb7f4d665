"""Races of families whose laws are known, for tests of verdicts and of the choice of runs."""

import numpy as np

from raysweep.frontier import RaceCandidate

AMOUNTS = 2.0 ** np.arange(6) * 1e6
SIZES = (1e3, 3e3, 9e3, 27e3)
COMPUTE = 6 * 9e3 * 16e6


def loss(law, params, data):
    asymptote, a, alpha, b, beta = law
    return asymptote + a * params**-alpha + b * data**-beta


FLAT = (0.02, 2.0, 0.30, 20.0, 0.30)
STEEP = (0.02, 5.3, 0.40, 79.0, 0.40)
"""The lower one from 1e11 FLOPs on; FLAT is below that."""


def candidates(families, seeds=2):
    """Every run of a grid, at three lengths."""
    return [
        RaceCandidate(
            trial_id=f"{family}-{params:.0f}-{seed}-{end}",
            family=family,
            size=f"{params:.0f}",
            seed=seed,
            run=f"{params:.0f}-{seed}",
            params=params,
            atoms=tuple(AMOUNTS[:end]),
            flops=6 * params * AMOUNTS[end - 1],
        )
        for family in families
        for params in SIZES
        for seed in range(seeds)
        for end in (4, 5, 6)
    ]


def points(laws, chosen, noise=0.005):
    """Points of chosen candidates: each run errs by its own, remembered along it."""
    columns = {name: [] for name in ("trial_id", "architecture", "params", "data", "flops", "loss")}
    for one in chosen:
        seed = [sorted(laws).index(one.family), int(one.params), one.seed]
        steps = np.random.default_rng(seed).normal(size=len(AMOUNTS))
        errors = noise * (0.7 * steps[0] + 0.7 * steps)[: len(one.atoms)]
        data = np.array(one.atoms)
        columns["trial_id"] += [one.trial_id] * len(data)
        columns["architecture"] += [one.family] * len(data)
        columns["params"] += [one.params] * len(data)
        columns["data"] += list(data)
        columns["flops"] += list(6 * one.params * data)
        columns["loss"] += list(loss(laws[one.family], one.params, data) * np.exp(errors))
    return columns


def grid(laws, noise=0.005, seeds=2):
    """Points of a whole grid."""
    whole = [one for one in candidates(laws, seeds) if len(one.atoms) == len(AMOUNTS)]
    return points(laws, whole, noise)
