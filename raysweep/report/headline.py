"""The answer in plain words: which family is best, which scales best, and where nobody can tell."""

import itertools
from collections.abc import Mapping, Sequence

from raysweep.report.standings import Curve, largest_common, standings
from raysweep.report.values import Estimate, FamilyFit, Headline, Standing, number


def headline(
    families: Sequence[str],
    by_family: Sequence[Sequence[Curve]],
    fits: Mapping[str, FamilyFit],
    fitted_losses: Mapping[str, Estimate],
) -> Headline:
    """Return the headline.

    Args:
        families: in the order of the search space.
        by_family: their trajectories, sound points alone.
        fits: by family.
        fitted_losses: by family the loss of its fitted frontier at the largest common compute.
    """
    flops, data = largest_common(by_family, "flops"), largest_common(by_family, "data")
    rows = standings(families, by_family, flops, data)
    sentences: list[str] = []
    if len(families) == 1:
        sentences += _alone(rows[0], flops, fitted_losses.get(families[0]))
    else:
        sentences += _best(rows, flops, fitted_losses)
        sentences += _by_data(rows, data)
    sentences += _steepest([fits[family] for family in families if family in fits])
    return Headline(sentences=tuple(sentences), common_flops=flops, common_data=data, standings=rows)


def common_flops(by_family: Sequence[Sequence[Curve]]) -> float | None:
    """Return the largest compute that all families reached."""
    return largest_common(by_family, "flops")


def _alone(row: Standing, flops: float | None, fitted: Estimate | None) -> list[str]:
    if flops is None or row.loss_at_flops is None:
        return ["There is no point that a statement could rest on."]
    text = f"With {number(flops)} FLOP, {row.family} reaches a loss of {row.loss_at_flops:.3g}"
    text += f" with {number(row.params_at_flops)} parameters."
    if fitted is not None and fitted.bounded:
        text += f" Its fitted frontier says {_interval(fitted)}."
    return [text]


def _best(rows: Sequence[Standing], flops: float | None, fitted: Mapping[str, Estimate]) -> list[str]:
    known = [row for row in rows if row.loss_at_flops is not None]
    if flops is None or len(known) < 2:
        missing = ", ".join(row.family for row in rows if row.loss_at_flops is None)
        return [f"The families cannot be compared at one compute: no sound point of {missing or 'any'}."]
    order = _ordering([(row.family, row.loss_at_flops, fitted.get(row.family)) for row in known])
    best, second = known[0], known[1]
    sentences = []
    tied = _overlap(fitted.get(best.family), fitted.get(second.family))
    head = f"With {number(flops)} FLOP, the largest compute that all families reached, "
    if tied is True:
        sentences.append(
            f"{head}{best.family} and {second.family} cannot be told apart: {best.family} has the lowest measured loss "
            f"({best.loss_at_flops:.3g} against {second.loss_at_flops:.3g}), but their fitted frontiers overlap."
        )
    else:
        doubt = "" if tied is False else "; there is no interval to judge the difference by"
        sentences.append(f"{head}{best.family} is best, with a loss of {best.loss_at_flops:.3g}{doubt}.")
    sentences.append(f"There the loss falls in the order {order}.")
    return sentences


def _ordering(rows: Sequence[tuple[str, float | None, Estimate | None]]) -> str:
    """Return the families from the highest loss to the lowest, with ≈ between those whose intervals overlap."""
    reverse = list(reversed(rows))
    text = f"{reverse[0][0]} ({reverse[0][1]:.3g})"
    for (_, _, before), (family, loss, fitted) in itertools.pairwise(reverse):
        text += f" {'≈' if _overlap(before, fitted) else '>'} {family} ({loss:.3g})"
    return text


def _by_data(rows: Sequence[Standing], data: float | None) -> list[str]:
    known = [(row.loss_at_data, row.family) for row in rows if row.loss_at_data is not None]
    if data is None or len(known) < 2:
        return []
    order = " > ".join(f"{family} ({loss:.3g})" for loss, family in sorted(known, reverse=True))
    return [f"After equal data ({number(data)} atoms), whatever the compute, the best size of each gives {order}."]


def _steepest(fits: Sequence[FamilyFit]) -> list[str]:
    """Say whose loss falls fastest with compute."""
    known = [(fit.family, fit.loss_exponent) for fit in fits if fit.loss_exponent is not None]
    if not known:
        return ["No family has enough points for an exponent."]
    if len(known) == 1:
        family, gamma = known[0]
        text = f"The reducible loss of {family} falls with compute as C^−{gamma.value:.3g}"
        return [text + (f" (95 % interval {gamma.low:.3g} to {gamma.high:.3g})." if gamma.bounded else ".")]
    known.sort(key=lambda pair: -pair[1].value)
    (first, gamma), (second, runner_up) = known[0], known[1]
    if _overlap(gamma, runner_up) is not False:
        rivals = [name for name, other in known[1:] if _overlap(gamma, other) is not False]
        return [
            f"Which family's loss falls fastest with compute is open: {first} has the largest exponent "
            f"(γ = {_interval(gamma)}), and its interval overlaps that of {_listed(rivals)}."
        ]
    return [
        f"{first} scales best: its reducible loss falls fastest with compute (γ = {_interval(gamma)}; "
        f"next {second}, {_interval(runner_up)})."
    ]


def _overlap(first: Estimate | None, second: Estimate | None) -> bool | None:
    """Return whether two intervals overlap; None where one is missing."""
    if first is None or second is None or first.low is None or second.low is None:
        return None
    assert first.high is not None
    assert second.high is not None
    return first.low <= second.high and second.low <= first.high


def _interval(value: Estimate) -> str:
    text = f"{value.value:.3g}"
    return f"{text} [{value.low:.3g}, {value.high:.3g}]" if value.bounded else text


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
