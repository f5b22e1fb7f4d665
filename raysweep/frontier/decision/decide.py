"""`decide`: the verdict on which family is best at a compute, from the points so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Unpack

import numpy as np
import pyarrow as pa

from raysweep.core.errors import FrontierError
from raysweep.frontier.answers.arguments import coverage, not_negative, positive
from raysweep.frontier.approaches.options import Settings, make_options
from raysweep.frontier.decision.comparison import comparison
from raysweep.frontier.decision.judging import judge
from raysweep.frontier.decision.losses import LossesAt, losses_at
from raysweep.frontier.decision.spending import checked_look
from raysweep.frontier.decision.verdict import RuledOut, Verdict
from raysweep.frontier.fit import fit_groups
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.points.families import families_of
from raysweep.frontier.points.readers import as_table
from raysweep.frontier.result import Fit

STARTS = 16
"""Of the solver: in centred coordinates each of them reaches the optimum."""


@dataclass(frozen=True, kw_only=True)
class LookAsked:
    """The arguments of `decide` besides the points and the settings of fits."""

    flops: float
    delta: float
    error: float
    look: int
    families: Sequence[str] | None
    out: Mapping[str, int | RuledOut]
    inference_steps: float


@dataclass(frozen=True, kw_only=True)
class LookTaken:
    """A verdict and the losses behind it; `known` is None if no family has a usable fit."""

    verdict: Verdict
    known: LossesAt | None


def decide(
    points: object,
    *,
    flops: float,
    delta: float = 0.02,
    error: float = 0.05,
    look: int = 1,
    families: Sequence[str] | None = None,
    out: Mapping[str, int | RuledOut] | None = None,
    inference_steps: float = 0.0,
    **settings: Unpack[Settings],
) -> Verdict:
    """Decide which family has the lowest loss at a compute, or that several are equal within `delta`.

    The verdict may be asked for again as points come in: each look spends its share of `error`
    (`decision.spending`), so that the verdict of whichever look a race stops at is wrong with a probability of at most
    `error`, as far as the intervals of the losses hold.

    Args:
        points: as in `fit_families`, with a column architecture (or family).
        flops: the compute at which families are compared.
        delta: share of the loss within which families count as equal.
        error: probability that the verdict, of any look, is wrong.
        look: the number of this look at the growing points, from 1.
        families: all families of the race, those without points too; by default those of the points.
        out: families excluded at an earlier look, with that look; they stay out.
        inference_steps: atom-steps of inference (atoms times MD steps) that `flops` pays for besides the training, each
            with the best model of its own.
        **settings: as in `fit`; the law is the additive one unless given, and there are no bootstraps.

    Raises:
        FrontierError: an argument has no meaning, or there are fewer than two families.
    """
    asked = LookAsked(
        flops=flops, delta=delta, error=error, look=look, families=families, out=out or {},
        inference_steps=inference_steps,
    )  # fmt: skip
    return look_at(points, asked, **settings).verdict


def look_at(points: object, asked: LookAsked, **settings: Unpack[Settings]) -> LookTaken:
    """Decide as `decide` does, and keep the losses that the verdict was taken from.

    Raises:
        FrontierError: as `decide`.
    """
    flops, error = positive("decide", "flops", asked.flops), checked_share("decide", "error", asked.error)
    delta, look = checked_share("decide", "delta", asked.delta), checked_look(asked.look)
    steps = not_negative("decide", "inference_steps", asked.inference_steps)
    table = as_table(points)
    names = _names(table, asked.families)
    before = {name: one if isinstance(one, RuledOut) else RuledOut(look=one) for name, one in asked.out.items()}
    if unknown := sorted(set(before) - set(names)):
        raise FrontierError(f"decide(out=...): {', '.join(unknown)} is no family of the race: {', '.join(names)}")
    if len(before) >= len(names):
        raise FrontierError("decide(out=...): every family is out; at least one is the best")
    known, unfit = _losses(table, [name for name in names if name not in before], (flops, steps), settings)
    losses = {} if known is None else known.losses
    spent = _spent(table, list(losses))
    verdict = judge(losses, unfit, flops=flops, delta=delta, error=error, look=look, before=before, spent=spent)
    verdict = replace(verdict, inference_steps=steps, assumed={} if known is None else known.assumed)
    if verdict.needed is not None and known is not None:
        training = max(one.training for one in known.laws.values())
        if training > max(one.dearest for one in known.laws.values()):
            verdict = replace(verdict, needed=max(verdict.needed, training))  # a run there, at the least
    return LookTaken(verdict=verdict, known=known)


def fits_of(table: pa.Table, families: Sequence[str], settings: Settings) -> dict[str, Fit | str]:
    """Fit some families of a table; for one without a usable fit, why.

    The law's fit is that of independent points: what their errors have in common is found out afterwards, for all
    families together and with what the law is off by (`decision.losses`).

    Raises:
        FrontierError: the settings have no meaning, or name a law without an optimum.
    """
    wanted: Settings = {"law": "additive", **settings, "bootstraps": 0}
    options = replace(make_options(**wanted), run_noise=False, automatic=False)
    if options.method != "parametric" or options.form.law in ("params", "data", "data_constrained"):
        raise FrontierError(
            f"a verdict needs a law in N and D with an optimum at each compute: method={options.method!r} with "
            f"law={options.form.law!r} is none; leave both out, or give law='additive', 'coupled' or 'broken_data'"
        )
    of = families_of(table)
    fits = fit_groups(table, {name: of[name] for name in families if name in of}, options)
    usable = {name: fit.status.usable and fit.estimate is not None for name, fit in fits.items()}
    return {
        name: "no points yet" if name not in fits else fits[name] if usable[name] else str(fits[name].status)
        for name in families
    }


def _losses(
    table: pa.Table, alive: Sequence[str], wanted: tuple[float, float], settings: Settings
) -> tuple[LossesAt | None, dict[str, str]]:
    """The losses of the families still in at a compute and atom-steps of inference; for those that have none, why."""
    flops, steps = wanted
    found = fits_of(table, alive, settings)
    for name, one in found.items():
        if not isinstance(one, str) and not comparison(one, *wanted)[0].has_best(one.surface):
            spent = f"; inference alone may cost more: {steps:.3g} atom-steps" if steps else ""
            found[name] = f"its law has no optimum at {flops:.3g} FLOPs{spent}"
    unfit = {name: one for name, one in found.items() if isinstance(one, str)}
    usable = {name: one for name, one in found.items() if not isinstance(one, str)}
    return (losses_at(usable, *wanted) if usable else None), unfit


def _names(table: pa.Table, families: Sequence[str] | None) -> list[str]:
    found = [name for name in families_of(table) if name is not None]
    if not found and table.num_rows:
        raise FrontierError("decide: the points have no column architecture (or family): which families compete?")
    if families is not None:
        if isinstance(families, str):
            raise FrontierError(f"decide(families={families!r}): give a list of names")
        if unknown := sorted(set(found) - set(families)):
            raise FrontierError(f"decide: the points are of {', '.join(unknown)} too, which families= does not name")
        found = list(dict.fromkeys(families))
    if len(found) < 2:
        raise FrontierError(f"decide: {len(found)} families in the race ({', '.join(found) or 'none'}); two are needed")
    return found


def checked_share(query: str, name: str, value: float) -> float:
    """Convert delta or error to a number between 0 and 1.

    Raises:
        FrontierError: it is none; names the query and the argument.
    """
    try:
        return coverage(query, value)
    except FrontierError as wrong:
        example = {"error": "0.05", "delta": "0.02"}[name]
        raise FrontierError(
            f"{query}({name}={value!r:.60}): give a number between 0 and 1, such as {example}"
        ) from wrong


def _spent(table: pa.Table, families: Sequence[str]) -> float:
    """FLOPs of the families' runs: of each trajectory the most, of points without one their own."""
    if not table.num_rows:
        return 0.0
    flops: Floats = np.asarray(table["flops"].to_numpy(zero_copy_only=False), dtype=float)
    names = table["architecture"].to_pylist()
    runs = table["trajectory"].to_pylist() if "trajectory" in table.column_names else list(range(table.num_rows))
    most: dict[object, float] = {}
    for name, run, cost in zip(names, runs, flops, strict=True):
        if name in families and np.isfinite(cost):
            most[name, run] = max(most.get((name, run), 0.0), float(cost))
    return float(sum(most.values()))
