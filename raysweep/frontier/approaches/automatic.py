"""The law of the points' own choice: the additive one unless they contradict it and another predicts better."""

from dataclasses import replace

import numpy as np

from raysweep.frontier.answers.choice import MARGIN, LawChoice, choose
from raysweep.frontier.answers.choosing_again import JUDGED, LEAST_SHARE, chosen_again, together, weighted
from raysweep.frontier.approaches.certificate import with_findings
from raysweep.frontier.approaches.options import Options
from raysweep.frontier.approaches.parametric import parametric
from raysweep.frontier.fitting.levels import determined
from raysweep.frontier.fitting.misfit.lack_of_fit import LackOfFit
from raysweep.frontier.fitting.surfaces import MANY_POINTS, draw_surfaces, fit_surface
from raysweep.frontier.laws.laws import Surface
from raysweep.frontier.numerics.arrays import Floats, Indices
from raysweep.frontier.points.findings import Finding, Kind, caution, note
from raysweep.frontier.result import Fit

CERTAIN = 0.005
"""p-value of lack of fit below which the additive law is not the default any more (Benjamin et al. 2018): a bend that
is told falsely costs a sentence, a law that is changed falsely the exponents."""


def with_choice(fit: Fit, blank: Fit, options: Options, weights: Floats | None) -> Fit:
    """Replace a fit of the additive law by one of a better law, where its residuals are systematic and there is one.

    Args:
        fit: of the additive law.
        blank: the fit that it was made from.
        options: asked for.
        weights: of the resamples, shape (k, n).
    """
    found = choice_of(fit, options)
    if found is None:
        return fit
    form, better = found.candidates[found.chosen].of(fit.form), fit
    told: list[Finding] = [note(Kind.LAW_CHOSEN, f"no other law is clearly better: {found}")]
    if form != fit.form:
        better = parametric(replace(blank, form=form), replace(options, form=form), weights)
        text = f"the points bend away from the additive law, so another fit was taken: {found}"
        told = [note(Kind.LAW_CHOSEN, text)]
        if not better.status.found(Kind.LAW_BENDS):
            told.append(_bend(fit.lack_of_fit, found))
    if weights is not None and fit.run_noise is None and better.run_noise is None:
        better = _with_laws_chosen_again(better, found, replace(options, form=form), weights)
    return replace(with_findings(better, told), choice=found)


def _bend(misfit: LackOfFit | None, found: LawChoice) -> Finding:
    """Say that the additive law bends where the law taken instead does not.

    That is a note where the bend is slight, or this law clearly the right one: every other one predicts the larger runs
    worse, by more than what makes a law chosen. Else it is open which of them goes on beyond the points.
    """
    taken = found.candidates[found.chosen]
    text = (
        f"the points bend away from the additive law: {misfit}. They do not bend away from what was taken, {taken.name}"
    )
    slight = misfit is not None and not misfit.bends
    if slight or (taken.law != "additive" and taken.error < MARGIN * found.runner_up):
        return note(Kind.LAW_BENDS, text)
    return caution(Kind.LAW_BENDS, f"{text}, but another law does about as well, and may go on otherwise beyond them")


def _with_laws_chosen_again(fit: Fit, choice: LawChoice, options: Options, weights: Floats) -> Fit:
    """Replace draws of the chosen law, in resamples that would have chosen another one, by draws of that.

    From `MANY_POINTS` points on they are left as they are: so many points choose the same law again.

    Args:
        fit: of the chosen law, with its draws.
        choice: that was made.
        options: asked for.
        weights: of the resamples, shape (k, n).
    """
    if not isinstance(fit.draws, Surface) or fit.draw_ids is None or fit.samples.count >= MANY_POINTS:
        return fit
    taken = chosen_again(fit.samples, choice, fit.form, options.loss_delta, options.seed, weights[:JUDGED])
    shares = np.bincount(taken, minlength=len(choice.candidates)) / taken.size
    others = [place for place, share in enumerate(shares) if share >= LEAST_SHARE and place != choice.chosen]
    if not others:
        return fit
    of_draw = taken[np.arange(weights.shape[0]) % taken.size]
    parts: list[Surface] = []
    rows: list[Indices] = []
    for place in others:
        form, wanted = choice.candidates[place].of(fit.form), np.flatnonzero(of_draw == place)
        samples = weighted(fit.samples, form)
        found = fit_surface(samples, form, options.loss_delta, options.seed, options.starts, options.iterations)
        draws, converged = draw_surfaces(samples, found, form, weights[wanted])
        good = np.flatnonzero(converged & determined(samples, form, weights[wanted]))
        parts.append(draws.take(good))
        rows.append(wanted[good])
    kept = ~np.isin(fit.draw_ids, np.concatenate(rows))  # of the chosen law, and where the other one was not fitted
    parts.append(fit.draws.take(np.flatnonzero(kept)))
    rows.append(fit.draw_ids[kept])
    order = np.argsort(np.concatenate(rows), kind="stable")
    return replace(fit, draws=together(parts).take(order), draw_ids=np.concatenate(rows)[order])


def choice_of(fit: Fit, options: Options) -> LawChoice | None:
    """Try other laws; None if they are not requested or not needed."""
    if not options.automatic or fit.estimate is None or fit.lack_of_fit is None or not fit.lack_of_fit.significant:
        return None
    single_runs = fit.run_noise is None
    local = single_runs and fit.lack_of_fit.p_value < CERTAIN
    return choose(fit.samples, fit.form, options.loss_delta, options.seed, single_runs=single_runs, local=local)
