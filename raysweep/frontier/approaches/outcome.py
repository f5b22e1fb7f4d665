"""What an approach is asked for and what it returns, the same for all three."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from raysweep.frontier.approaches.envelope import PowerCurve
from raysweep.frontier.approaches.parametric import Form, SurfaceFit
from raysweep.frontier.laws.laws import Curve
from raysweep.frontier.laws.quantities import Law
from raysweep.frontier.numerics.solver import Floats
from raysweep.frontier.points.findings import Finding, Kind, caution

CERTIFIED = 1e-6
"""A gradient norm above this is no optimum."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `fit` was asked for, apart from the points."""

    method: str = "parametric"
    form: Form = field(default_factory=Form)
    loss_delta: float | None = None
    """None: adaptive."""
    cost: str = "flops"
    seed: int = 0
    bootstraps: int = 1000
    starts: int = 64
    iterations: int = 200


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an approach found."""

    estimate: Law | None = None
    draws: Law | None = None
    leave_one_out: Law | None = None
    draw_ids: NDArray[np.int64] | None = None
    objective: float = float("nan")
    gradient_norm: float = float("nan")
    delta: float = float("nan")
    noise: float = float("nan")
    starts: int = 0
    agreeing: int = 0
    residuals: Floats | None = None
    trust: Floats | None = None
    findings: tuple[Finding, ...] = ()


def optimum_findings(fit: SurfaceFit | PowerCurve) -> list[Finding]:
    """Return what is wrong with an optimum: not one, or one of several."""
    found = []
    if fit.gradient_norm > CERTIFIED:
        found.append(
            caution(
                Kind.NOT_CONVERGED,
                f"the solver stopped short of the optimum (gradient norm {fit.gradient_norm:.1e} > {CERTIFIED:.0e})",
            )
        )
    if fit.agreeing < 0.5 * fit.starts:
        found.append(
            caution(
                Kind.STARTS_DISAGREE,
                f"only {fit.agreeing} of {fit.starts} starts reached the best optimum: the points leave several open",
            )
        )
    return found


def bound_findings(fit: SurfaceFit | PowerCurve, form: Form) -> list[Finding]:
    """Return which parameters a bound holds."""
    names = {0: "E", 2: "alpha", 4: "beta"} if isinstance(fit, SurfaceFit) else {0: "E", 2: "gamma"}
    found = []
    for place, name in names.items():
        if not fit.at_bound[place]:
            continue
        where = "0" if place == 0 else f"{fit.theta[place]:.3g}"
        remedy = "fix it with asymptote=0, or add larger runs" if place == 0 else "the points do not determine it"
        found.append(caution(Kind.BOUND_ACTIVE, f"the fit holds {name} at its bound {where}: {remedy}"))
    return found


def of_power(
    power: PowerCurve,
    curve: Curve,
    draws: Curve | None,
    alone: Curve | None,
    residuals: Floats,
    findings: list[Finding],
) -> Outcome:
    """Return the outcome of an approach that ends in a power law of compute."""
    return Outcome(
        estimate=curve,
        draws=draws,
        leave_one_out=alone,
        objective=power.objective,
        gradient_norm=power.gradient_norm,
        delta=power.delta,
        noise=power.noise,
        starts=power.starts,
        agreeing=power.agreeing,
        residuals=residuals,
        findings=tuple(findings),
    )
