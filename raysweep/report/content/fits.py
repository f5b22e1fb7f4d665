"""Conversion of a `raysweep.frontier.Fit` to the plain values of the report; nothing else knows both."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from raysweep.core.errors import FrontierError
from raysweep.frontier import Fit
from raysweep.frontier.answers.lifetime import MEASURED
from raysweep.frontier.answers.values import Answer, Optimum
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.points.findings import Finding, Kind, Severity
from raysweep.report.content.questions import Question
from raysweep.report.content.values import Estimate, Excluded, FamilyFit, OptimumRow, Standing

DRAWN = 48
"""Computes at which a frontier is drawn."""
BEYOND = 3.0
"""Factor beyond the largest compute of the points up to which a frontier is drawn."""

DEFAULT = Question()


def family_fit(
    family: str, fit: Fit, envelope: Fit, computes: Sequence[float], question: Question = DEFAULT
) -> FamilyFit:
    """Describe the fit of one family.

    Args:
        family: its label.
        fit: by the approach that answers.
        envelope: by the lower envelope, only for its exponent.
        computes: FLOPs at which the optimum is wanted.
        question: at which losses the cheapest model is wanted, with how much inference and distinct data.
    """
    told = FamilyFit(
        family=family,
        points=fit.samples.count,
        usable=fit.status.usable,
        status=fit.status.kind.value,
        sentences=_sentences(fit),
        cautions=_sentences(fit, Severity.CAUTION),
        remarks=_sentences(fit, Severity.CAUTION) + _notes(fit),
        envelope_exponent=_estimate(envelope, "gamma"),
    )
    if not fit.status.usable:
        return told
    has_optimum = bool(np.isfinite(fit.params_exponent))  # a law in N or D alone has none
    optima, refused = _optima(fit, computes, question) if has_optimum else ((), ())
    return replace(
        told,
        cautions=(*told.cautions, *refused),
        remarks=(*refused, *told.remarks),
        alpha=_estimate(fit, "alpha"),
        beta=_estimate(fit, "beta"),
        asymptote=_estimate(fit, "E"),
        params_exponent=_estimate(fit, "a"),
        data_exponent=_estimate(fit, "b"),
        loss_exponent=_estimate(fit, "gamma"),
        optima=optima,
        path=tuple(_row(fit, fit.optimal(one, unique_data=question.unique_data)) for one in _places(fit))
        if has_optimum
        else (),
    )


def exclusions(family: str, fit: Fit, points: pa.Table) -> tuple[Excluded, ...]:
    """List the points of a family that were kept out of its fit; `points` is the table that was fitted."""
    found = []
    for item in fit.excluded:
        row = points.slice(item.row, 1).to_pylist()[0]
        numbers = {
            name: float("nan") if row[name] is None else float(row[name])
            for name in ("params", "data", "flops", "loss")
        }
        found.append(Excluded(family=family, kind=item.kind.value, reason=item.reason, **numbers))
    return tuple(found)


def run_interval(fit: Fit, standing: Standing) -> tuple[float, float] | None:
    """The interval in which another run like a measured one would end; None if the fit has none.

    This is the law's prediction interval at that size and data (its uncertainty and the noise of one run), shifted to
    the measured loss, so that it does not depend on the law's optimum.
    """
    loss, params, data = standing.loss_at_flops, standing.params_at_flops, standing.data_at_flops
    if not fit.status.usable or fit.method != "parametric" or loss is None or params is None or data is None:
        return None
    found = fit.loss(params, data)
    if found.interval is None:
        return None
    scale = loss / found.value
    return float(scale * found.interval.low), float(scale * found.interval.high)


def _places(fit: Fit) -> list[float]:
    cost = fit.samples.cost
    return [float(c) for c in np.geomspace(cost.min(), BEYOND * cost.max(), DRAWN)]


def _optima(fit: Fit, computes: Sequence[float], question: Question) -> tuple[tuple[OptimumRow, ...], tuple[str, ...]]:
    """The models that a question wants, and sentences about those that there are none of, or that assume something."""
    rows, refused = [], []
    wanted: list[tuple[float | None, float | None]] = [(flops, None) for flops in computes]
    wanted += [(None, loss) for loss in question.losses]
    steps, unique = question.inference_steps, question.unique_data
    for flops, loss in wanted:
        try:
            found = fit.optimal(flops, loss=loss, inference_steps=steps, unique_data=unique)
        except FrontierError as error:
            refused.append(str(error))
        else:
            rows.append(_row(fit, found))
            if found.lifetime is not None and found.lifetime.source != MEASURED:
                refused.append(f"an atom-step of inference is taken to cost {found.lifetime.source}")
    return tuple(rows), tuple(dict.fromkeys(refused))


def _row(fit: Fit, found: Optimum) -> OptimumRow:
    samples, near, life = fit.samples, found.params_range, found.lifetime
    training = found.flops if life is None else life.training.value
    return OptimumRow(
        flops=found.flops,
        total=None if life is None else _plain(life.total),
        inference=None if life is None or not life.steps else _plain(life.inference),
        params=_plain(found.params),
        data=_plain(found.data),
        loss=_plain(found.loss),
        near=None if near is None else (float(near[0]), float(near[1])),
        regret=found.regret,
        law_bends=found.caution is not None,
        extrapolated=bool(training > samples.cost.max() * (1 + 1e-9) or training < samples.cost.min() * (1 - 1e-9)),
        untried=", ".join(
            part
            for part in (
                _side("N*", found.params.value, samples.params, "sizes tried"),
                _side("D*", found.data.value, samples.data, "data tried"),
            )
            if part
        ),
    )


def _side(name: str, value: float, tried: Floats, what: str) -> str:
    """Say on which side of the range tried a value lies; empty if it lies inside."""
    if tried.min() <= value <= tried.max():
        return ""
    return f"{name} {'below' if value < tried.min() else 'above'} the {what}"


def _plain(answer: Answer) -> Estimate:
    if answer.interval is None:
        return Estimate(value=float(answer.value))
    return Estimate(value=float(answer.value), low=float(answer.interval.low), high=float(answer.interval.high))


def _estimate(fit: Fit, name: str) -> Estimate | None:
    """Get a parameter or exponent by name; None if the law has none or the fit is unusable."""
    if not fit.status.usable:
        return None
    exponents = {"a": "params_exponent", "b": "data_exponent", "gamma": "loss_exponent"}
    value = getattr(fit, exponents[name]) if name in exponents else getattr(fit.law, name, None)
    if value is None or not np.isfinite(value):
        return None
    try:
        interval = fit.interval(name)
    except FrontierError:  # fewer bootstraps than an interval needs; the status has a sentence about it
        return Estimate(value=float(value))
    return Estimate(value=float(value), low=float(interval.low), high=float(interval.high))


def _sentences(fit: Fit, least: Severity = Severity.NOTE) -> tuple[str, ...]:
    told = _by_kind([finding for finding in fit.status.findings if finding.severity >= least])
    if fit.status.ok and least <= Severity.NOTE:
        told = (fit.status.sentence, *told)
    return told


def _notes(fit: Fit) -> tuple[str, ...]:
    return _by_kind([finding for finding in fit.status.findings if finding.severity is Severity.NOTE])


def _by_kind(findings: Sequence[Finding]) -> tuple[str, ...]:
    """One line per kind of finding, the most severe first."""
    kinds: dict[tuple[Severity, Kind], list[str]] = {}
    for finding in sorted(findings, key=lambda finding: -finding.severity):
        kinds.setdefault((finding.severity, finding.kind), []).append(finding.sentence)
    return tuple("; ".join(dict.fromkeys(sentences)) for sentences in kinds.values())
