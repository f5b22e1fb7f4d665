"""The window of D that a fit takes: given, or after the transition where runs bend and a later part of them does not.

Learning curves begin with a part that no power law describes (see `fitting.misfit.transition`). The window is the
widest part D >= D0 to which no budget adds more than noise explains; it is taken only where all points bend and it does
not.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np

from raysweep.frontier.approaches.options import Options
from raysweep.frontier.approaches.refusals import refusals
from raysweep.frontier.fitting.misfit.curvature import LEAST_RUNS, run_curvatures, steepening_p_value
from raysweep.frontier.fitting.misfit.lack_of_fit import LackOfFit
from raysweep.frontier.fitting.misfit.surfaces import surface_misfit
from raysweep.frontier.fitting.misfit.transition import LEAST_BUDGETS_LEFT, LEAST_SPAN, data_wanted
from raysweep.frontier.fitting.surfaces import fit_surface
from raysweep.frontier.fitting.trajectories import trajectories
from raysweep.frontier.numerics.arrays import Floats, Mask
from raysweep.frontier.points.cleaning import Cleaned
from raysweep.frontier.points.families import Family
from raysweep.frontier.points.findings import Finding, Kind, caution, count_of, note
from raysweep.frontier.points.samples import Exclusion, Samples

_Name = TypeVar("_Name", str, Family)
OWN, OTHERS = 0.2, 0.01
"""p-values below which a family's own runs, and those of the other families together, steepen more than the law."""
LEAST_OTHERS = 2
"""Other families: one that bends alone says nothing about another."""
_STARTS = 16
_EDGE = 1e-9


def in_window(cleaned: Cleaned, options: Options) -> Cleaned:
    """Leave out the points outside of the window, listed with the reason; `options.window` says which it is."""
    samples, window = cleaned.samples, options.window
    if isinstance(window, tuple):
        low, high = window
        inside = (samples.data >= low * (1 - _EDGE)) & (samples.data <= high * (1 + _EDGE))
        left_out = int((~inside).sum())
        found = [note(Kind.BEFORE_WINDOW, count_of(left_out, "lies", "lie") + " outside the given window")]
        reason = f"outside of the window D = {low:.3g} to {high:.3g}"
        return _kept(cleaned, inside, reason, found) if left_out else cleaned
    if window == "all" or options.method != "parametric" or refusals(samples, options):
        return cleaned
    if int(trajectories(samples).max(initial=-1)) + 1 == samples.count:
        return cleaned
    return _after_transition(cleaned, options)


def _after_transition(cleaned: Cleaned, options: Options) -> Cleaned:
    samples = cleaned.samples
    misfit = _misfit(samples, options)
    if misfit is None or not misfit.bends or misfit.test not in ("shapes", "transition", "curvature"):
        return cleaned
    end = misfit.transition_ends
    if end is not None:
        inside = np.asarray(samples.data >= end * (1 - _EDGE))
        part = samples.take(inside)
        again = None if refusals(part, options) else _misfit(part, options)
        if again is not None and not again.bends:
            text = (
                f"one law does not hold for all budgets: {misfit}. It is fitted to what comes after the transition; "
                f"{int((~inside).sum())} points before are left out (window='all' keeps them)"
            )
            return _kept(
                cleaned, inside, f"before the transition ends at D = {end:.3g}", [caution(Kind.TRANSITION, text)]
            )
    return replace(cleaned, findings=(*cleaned.findings, caution(Kind.TRANSITION, _wanted(samples, end))))


def with_joint_transition(families: Mapping[_Name, Cleaned], options: Options) -> dict[_Name, Cleaned]:
    """Find families in transition by the runs of the others: a few short runs of one family seldom show it alone.

    A family is taken to be in transition where its own runs steepen, if not beyond chance (`OWN`), and those of the
    other families of the sweep do so beyond it (`OTHERS`).
    """
    if options.window != "auto" or options.method != "parametric" or options.form.law == "data_constrained":
        return dict(families)
    curvatures: dict[_Name, Floats] = {}
    for family, one in families.items():
        if not refusals(one.samples, options) and int(trajectories(one.samples).max()) + 1 < one.samples.count:
            curvatures[family] = _curvatures(one.samples, options)
    return {
        family: _told(one, curvatures[family], list(curvatures.values())) if family in curvatures else one
        for family, one in families.items()
    }


def _told(cleaned: Cleaned, own: Floats, every: list[Floats]) -> Cleaned:
    """Mark a family as in transition if its runs (curvatures `own`) and those of the others show it jointly."""
    others = [values for values in every if values is not own and values.size >= 2]
    if len(others) < LEAST_OTHERS or any(told.kind is Kind.TRANSITION for told in cleaned.findings):
        return cleaned
    together = steepening_p_value(np.concatenate(others))
    if together >= OTHERS or own.size < LEAST_RUNS or steepening_p_value(own) >= OWN:
        return cleaned
    seen = f" (so do those of {len(others)} other families, p = {together:.2g})"
    text = _wanted(cleaned.samples, None, seen)
    return replace(cleaned, findings=(*cleaned.findings, caution(Kind.TRANSITION, text)))


def _curvatures(samples: Samples, options: Options) -> Floats:
    arguments = (options.loss_delta, options.seed, min(options.starts, _STARTS), options.iterations)
    residuals = fit_surface(samples, options.form, *arguments).minimum.residuals
    return run_curvatures(residuals, trajectories(samples), samples.data)[0]


def _misfit(samples: Samples, options: Options) -> LackOfFit | None:
    arguments = (options.loss_delta, options.seed, min(options.starts, _STARTS), options.iterations)
    if options.form.law == "data_constrained":
        return None
    return surface_misfit(samples, fit_surface(samples, options.form, *arguments), options.form)


def _wanted(samples: Samples, end: float | None, seen_elsewhere: str = "") -> str:
    """Estimate how much more data would reach a part of the runs that one law describes."""
    seen, needed = data_wanted(samples.data, end)
    rise = needed / float(samples.data.max())
    return (
        f"the runs look as if they were in transition{seen_elsewhere}, and no window of D is long enough to fit what "
        f"comes after: {LEAST_BUDGETS_LEFT} budgets over a factor {LEAST_SPAN:g} of D, on three runs. If the "
        f"transition ends at D = {seen:.3g}, that takes runs up to D = {needed:.3g}: {rise:.2g} times the largest D, "
        "and about as many times its compute"
    )


def _kept(cleaned: Cleaned, inside: Mask, reason: str, found: list[Finding]) -> Cleaned:
    gone = [Exclusion(row=int(row), kind=Kind.BEFORE_WINDOW, reason=reason) for row in cleaned.samples.row[~inside]]
    excluded = tuple(sorted((*cleaned.excluded, *gone), key=lambda item: item.row))
    return replace(cleaned.take(inside), excluded=excluded, findings=(*cleaned.findings, *found))
