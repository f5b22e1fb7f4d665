"""An optimum with its certificate: the entries and findings that every approach contributes to a fit."""

from collections.abc import Iterable
from dataclasses import replace

from raysweep.frontier.fitting.robust import Minimum
from raysweep.frontier.points.findings import Finding, Kind, caution, status_of
from raysweep.frontier.result import Fit

CERTIFIED = 1e-6
"""A gradient norm above this is no optimum."""


def with_findings(fit: Fit, findings: Iterable[Finding]) -> Fit:
    """Add findings to a fit's status."""
    return replace(fit, status=status_of([*fit.status.findings, *findings]))


def with_minimum(fit: Fit, minimum: Minimum) -> Fit:
    """Enter a minimum and its certificate in a fit."""
    return replace(
        fit,
        objective=minimum.objective,
        gradient_norm=minimum.gradient_norm,
        delta=minimum.delta,
        noise=minimum.noise,
        starts=minimum.starts,
        starts_agreeing=minimum.agreeing,
        residuals=minimum.residuals,
    )


def minimum_findings(minimum: Minimum) -> list[Finding]:
    """Find problems of a minimum: not converged, or one of several."""
    found = []
    if minimum.gradient_norm > CERTIFIED:
        norm = f"{minimum.gradient_norm:.1e} > {CERTIFIED:.0e}"
        found.append(caution(Kind.NOT_CONVERGED, f"the solver stopped short of the optimum (gradient norm {norm})"))
    if minimum.agreeing < 0.5 * minimum.starts:
        reached = f"{minimum.agreeing} of {minimum.starts}"
        text = f"only {reached} starts reached the best optimum: the points do not determine a single optimum"
        found.append(caution(Kind.STARTS_DISAGREE, text))
    return found


def bound_findings(minimum: Minimum, names: dict[int, str]) -> list[Finding]:
    """Find the parameters that a bound holds; `names` are those of the entries of theta."""
    found = []
    for place, name in names.items():
        if not minimum.at_bound[place]:
            continue
        where = "0" if place == 0 else f"{minimum.theta[place]:.3g}"
        remedy = "fix it with asymptote=0, or add larger runs" if place == 0 else "the points do not determine it"
        found.append(caution(Kind.BOUND_ACTIVE, f"{name} is at its bound {where}: {remedy}"))
    return found
