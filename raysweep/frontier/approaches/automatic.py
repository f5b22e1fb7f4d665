"""The law of the points' own choice: the additive one unless they contradict it and another predicts better."""

from dataclasses import replace

from raysweep.frontier.answers.choice import MARGIN, LawChoice, choose
from raysweep.frontier.approaches.certificate import with_findings
from raysweep.frontier.approaches.options import Options
from raysweep.frontier.approaches.parametric import parametric
from raysweep.frontier.fitting.misfit.lack_of_fit import LackOfFit
from raysweep.frontier.numerics.arrays import Floats
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
    form = found.candidates[found.chosen].of(fit.form)
    if form == fit.form:
        return replace(
            with_findings(fit, [note(Kind.LAW_CHOSEN, f"no other law is clearly better: {found}")]), choice=found
        )
    better = parametric(replace(blank, form=form), replace(options, form=form), weights)
    text = f"the points bend away from the additive law, so another fit was taken: {found}"
    told = [note(Kind.LAW_CHOSEN, text)]
    if not better.status.found(Kind.LAW_BENDS):
        told.append(_bend(fit.lack_of_fit, found))
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


def choice_of(fit: Fit, options: Options) -> LawChoice | None:
    """Try other laws; None if they are not requested or not needed."""
    if not options.automatic or fit.estimate is None or fit.lack_of_fit is None or not fit.lack_of_fit.significant:
        return None
    single_runs = fit.run_noise is None
    local = single_runs and fit.lack_of_fit.p_value < CERTAIN
    return choose(fit.samples, fit.form, options.loss_delta, options.seed, single_runs=single_runs, local=local)
