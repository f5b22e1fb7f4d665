"""The answers as text for a terminal."""

from raysweep.core.text import columns, scaled
from raysweep.report.content.values import Answers, estimate

DIGITS = 4


def text(answers: Answers) -> str:
    """Format the headline, the exponents, the compute-optimal models and the fits' findings, the most severe first."""
    parts = ["\n".join(answers.headline.sentences), _exponents(answers)]
    optima = _optima(answers)
    if optima:
        parts.append(optima)
    parts.append("\n".join(_remarks(answers)))
    return "\n\n".join(parts)


def _exponents(answers: Answers) -> str:
    head = ("family", "points", "γ envelope", f"γ {answers.method}", "a (N* ~ C^a)", "b (D* ~ C^b)", "E", "status")
    rows = [
        (
            fit.family,
            str(fit.points),
            estimate(fit.envelope_exponent, DIGITS),
            estimate(fit.loss_exponent, DIGITS),
            estimate(fit.params_exponent, DIGITS),
            estimate(fit.data_exponent, DIGITS),
            estimate(fit.asymptote, DIGITS),
            fit.status,
        )
        for fit in answers.families
    ]
    return columns([head, *rows])


def _optima(answers: Answers) -> str:
    optima = [optimum for fit in answers.families for optimum in fit.optima]
    used = any(optimum.inference for optimum in optima)
    head = ("family", "C FLOP", *(["of which inference"] if used else []), "N*", "D*", "loss", "")
    rows = [
        (
            fit.family,
            estimate(optimum.total, DIGITS) if optimum.total else scaled(optimum.flops, DIGITS),
            *([estimate(optimum.inference, DIGITS)] if used else []),
            estimate(optimum.params, DIGITS),
            estimate(optimum.data, DIGITS),
            estimate(optimum.loss, DIGITS),
            optimum.reservation,
        )
        for fit in answers.families
        for optimum in fit.optima
    ]
    return columns([head, *rows]) if rows else ""


def _remarks(answers: Answers) -> list[str]:
    lines = ["brackets: 95 % intervals"]
    for fit in answers.families:
        lines += [f"{fit.family}: {sentence}" for sentence in fit.remarks]
    return list(dict.fromkeys(lines))
