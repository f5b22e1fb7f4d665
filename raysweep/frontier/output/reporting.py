"""The reporting checklist of 2502.18969 ("(Mis)fitting") for a fit: everything that a reader needs to repeat it."""

import numpy as np

from raysweep.core.text import columns
from raysweep.frontier.fitting.trajectories import resampling_units, trajectories
from raysweep.frontier.laws.forms import LAWS
from raysweep.frontier.laws.laws import CostModel, Surface
from raysweep.frontier.numerics.arrays import Number
from raysweep.frontier.numerics.intervals import LEAST_DRAWS
from raysweep.frontier.points.findings import Kind
from raysweep.frontier.result import Fit

_CURVE = "L*(C) = E + F C^-gamma, N* ~ C^a, D* ~ C^b"
_METHODS = {
    "parametric": "approach 3 of 2203.15556: the law fitted to all points",
    "isoflop": "approach 2 of 2203.15556, valleys with the law's own shape instead of parabolas (2603.22339)",
    "envelope": "approach 1 of 2203.15556: a power law through the lowest loss at each compute",
}


def checklist(fit: Fit, held_out: str | None = None) -> str:
    """Fill in the checklist, one item a line.

    Args:
        fit: any fit, usable or not.
        held_out: the sentence of the held-out check, where it was made.
    """
    return columns(_rows(fit, held_out))


def _rows(fit: Fit, held_out: str | None) -> list[tuple[str, str]]:
    known = fit.estimate
    return [
        ("status", str(fit.status)),
        (
            "form",
            LAWS[fit.form.law].formula if fit.method == "parametric" else "L*(C) = E + F C^-gamma, N* ~ C^a, D* ~ C^b",
        ),
        ("asymptote", "fitted" if fit.form.asymptote is None else f"held at {fit.form.asymptote:g}"),
        ("method", _METHODS[fit.method]),
        ("N", "params: trainable parameters, as the points give them"),
        ("D", "data: atoms (tokens) seen in training, repeats included"),
        ("C", _cost(fit.cost_name, known.cost if isinstance(known, Surface) else None)),
        ("points", f"{fit.samples.count} used, {len(fit.excluded)} left out{_reasons(fit)}"),
        ("range", _range(fit)),
        ("objective", f"{_objective(fit)} of ln(measured / predicted): {fit.objective:.10g}"),
        ("delta", f"{fit.delta:.4g} in ln loss"),
        ("noise", f"{fit.noise:.2%} (robust standard deviation of ln loss about the law)"),
        ("penalty", "symmetric" if fit.form.over == 1.0 else f"points above the law weigh {fit.form.over:g}"),
        ("weights", "larger runs weigh more" if fit.form.toward_largest else "as given"),
        ("optimizer", "damped Newton, analytic derivatives, ln N and ln D centred, delta lowered in stages"),
        ("starts", f"{fit.starts}, of which {fit.starts_agreeing} reached the best optimum"),
        ("gradient norm", f"{fit.gradient_norm:.2e} (relative to the contributions that cancel in it)"),
        ("intervals", _intervals(fit)),
        ("held-out error", held_out or "not measured here: raysweep.frontier.held_out(points)"),
        ("seed", str(fit.seed)),
        ("versions", ", ".join(f"{name} {version}" for name, version in fit.versions.items())),
        ("digest of the points", fit.samples.digest()),
    ]


def _cost(name: str, cost: CostModel | None) -> str:
    unit = (
        "seconds: device seconds of training" if name == "seconds" else "flops: training FLOPs as the points give them"
    )
    if cost is None:
        return unit
    if cost.exact:
        return f"{unit}; equal to 6 N D at every point"
    powers = f"N^{_plain(cost.params_power):.3f} D^{_plain(cost.data_power):.3f}"
    return f"{unit}; fitted as e^{_plain(cost.log_kappa):.4f} {powers}, off by {cost.residual:.1%} (rms)"


def _plain(value: Number) -> float:
    return float(np.asarray(value))


def _reasons(fit: Fit) -> str:
    kinds = [item.kind for item in fit.excluded]
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    return "".join(f", {_word(kind)}: {count}" for kind, count in counts.items())


def _word(kind: Kind) -> str:
    return kind.value.replace("_", " ")


def _range(fit: Fit) -> str:
    if fit.samples.count == 0:
        return "no points"
    spans = {"N": fit.samples.params, "D": fit.samples.data, "C": fit.samples.cost, "L": fit.samples.loss}
    return ", ".join(f"{name} {values.min():.3g} to {values.max():.3g}" for name, values in spans.items())


def _objective(fit: Fit) -> str:
    if fit.run_noise is None or fit.status.found(Kind.RUN_NOISE_LEFT_OUT):
        return "sum of Huber losses"
    return "half the sum of squares, in units of the noise of runs,"


def _intervals(fit: Fit) -> str:
    drawn = 0 if fit.draws is None else int(np.size(fit.draws.E))
    if drawn < LEAST_DRAWS:
        return f"none: {drawn} of {fit.bootstraps} bootstraps gave a fit"
    found = fit.answer("gamma").interval
    method = "gamma without one, which is not finite" if found is None else found.method
    if fit.run_noise is not None:
        runs = int(trajectories(fit.samples).max()) + 1
        freedom = f"{fit.degrees_of_freedom} degrees of freedom in the noise"
        return f"{drawn} refits to draws of the noise of {runs} trajectories, {method}, {freedom}"
    unit = resampling_units(fit.samples, fit.form)
    drawn_with = "points" if unit.max() + 1 == fit.samples.count else f"{unit.max() + 1} trajectories"
    degrees = f"{fit.degrees_of_freedom} degrees of freedom"
    return f"{drawn} pairs bootstraps of {drawn_with}, {method}, {degrees}"
