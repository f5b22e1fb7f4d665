"""The unit of the FLOP column, judged by C / (N D): a number far from what training costs is in another unit.

C / (N D) is 6 for dense language models (2001.08361), down to .2 where few of N are active, 6 to some 1000 for force
fields, whose cost grows with edges and triplets per atom; some 100 times that where D counts structures, not atoms.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np

from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.points.findings import Finding, Kind, caution, note
from raysweep.frontier.points.samples import Samples

LEAST, MOST = 0.1, 3e4
"""Bounds of the median C / (N D), beyond those of real trainings by a factor 2 or more."""
_LEAST_SEEN = 0.5
"""Median D / N below which N and D may stand for each other; trainings of every kind have 1 or more."""
_SAME = 5e-3
_TYPICAL = 2.0, 1500.0
_COMPUTE = {
    "GFLOP": 1e9,
    "TFLOP": 1e12,
    "PFLOP": 1e15,
    "EFLOP": 1e18,
    "ZFLOP": 1e21,
    "PF-days": 8.64e19,
    "GPU hours": 1e18,
}
"""FLOP in one of each; a GPU hour is 2e17 to 3e18."""
_AMOUNTS = {"": 1.0, "thousands": 1e3, "millions": 1e6, "billions": 1e9, "trillions": 1e12}


def unit_findings(samples: Samples) -> list[Finding]:
    """Find a FLOP column, or N or D, that is in another unit than the others."""
    if samples.cost_name != "flops" or samples.count == 0:
        return []
    ratio = samples.cost / (samples.params * samples.data)
    middle = float(np.median(ratio))
    if LEAST <= middle <= MOST and not _is_six_by_thousands(ratio):
        return _exchanged(samples)
    text = (
        f"C / (6 N D) is {middle / 6:.2g}, where dense language models have 1 and force fields 1 to some 200: N, D and "
        "C are not all in parameters, tokens (atoms) and FLOP"
    )
    likely = list(_explanations(middle))
    guess = f"; perhaps {' or '.join(likely[:3])}" if likely else ""
    return [caution(Kind.COST_IMPLAUSIBLE, f"{text}{guess}. Exponents are unaffected; N* and D* are wrong")]


def _exchanged(samples: Samples) -> list[Finding]:
    """Find N and D that stand for each other, which C = 6 N D does not show: models are larger than their data."""
    seen = samples.data / samples.params
    if float(np.median(seen)) >= _LEAST_SEEN:
        return []
    below = int(np.sum(seen < 1.0))
    text = f"D is below N at {below} of {seen.size} points, and {np.median(seen):.2g} of it at half of them"
    return [note(Kind.COST_IMPLAUSIBLE, f"{text}: are the two columns swapped?")]


def _is_six_by_thousands(ratio: Floats) -> bool:
    """Whether C is 6 N D at every point but for a power of 1000 other than 1."""
    power = np.log(ratio / 6.0) / np.log(1e3)
    near = np.round(power)
    return bool(near[0] != 0 and np.all(near == near[0]) and np.all(np.abs(power - near) * np.log(1e3) < _SAME))


def _explanations(ratio: float) -> Iterator[str]:
    """Units that would make C / (N D) what it is for trainings, the fewest and the nearest to 6 first."""
    found: list[tuple[int, float, str]] = []
    for (size, n), (amount, d) in product(_AMOUNTS.items(), repeat=2):
        for unit, c in {"": 1.0, **_COMPUTE}.items():
            names = [(size and f"N in {size}"), (amount and f"D in {amount}"), (unit and f"C in {unit}")]
            told = [name for name in names if name]
            right = ratio * c / (n * d)
            if told and _TYPICAL[0] <= right <= _TYPICAL[1]:
                found.append((len(told), round(abs(np.log(right / 6.0)), 2), " and ".join(told)))
    if found:
        fewest = min(count for count, _, _ in found)
        yield from (text for count, _, text in sorted(found) if count == fewest)
