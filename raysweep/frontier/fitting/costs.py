"""The cost of a run as a function of N and D, and of an atom-step as a function of N, fitted to measurements."""

import numpy as np
from scipy.optimize import least_squares

from raysweep.frontier.laws.laws import CostModel
from raysweep.frontier.laws.lifetime import AtomStepCost
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.points.findings import Finding, Kind, caution
from raysweep.frontier.points.samples import Samples

EXACT = 5e-3
"""C = 6 N D counts as exact where every point obeys it within this share (columns are often rounded)."""
_LOOSE = 0.15
"""Root mean square of ln C about the power law beyond which the frontier in C is only roughly right."""
TIMED, COUNTED = 0.05, 0.005
"""How far ln of a time and of a count of FLOPs may be from floor + scale N^power (benchmarks/inference_cost.py)."""
_POWER = (0.75, 0.1)
"""The power of N in an atom-step's cost as it is expected, and its standard deviation."""
_SHOW_A_FLOOR, _STEEPEST = 3, 2.0
"""Sizes that it takes to see a floor, and the largest power."""
_SHARE = 0.1
_GAP = 0.4
"""ln of the ratio between two conventions that is taken for a mixture: 2ND, 3ND and 6ND differ by 1.5 or more."""


def is_proportional(samples: Samples) -> bool:
    """Whether C = kappa N D holds at every point, to `EXACT`."""
    return bool(np.ptp(np.log(samples.cost / (samples.params * samples.data))) < EXACT)


def fit_cost(samples: Samples) -> CostModel:
    """Fit C = kappa N^p D^q by least squares on logarithms; exactly 6 N D, or kappa N D, where that holds.

    Where the points do not determine p and q (one size, or N and D in lockstep) they are 1 as far as that is possible.
    """
    model = fit_cost_draws(samples, np.ones((1, samples.count)))
    ratio = np.log(samples.cost / (samples.params * samples.data))
    if samples.cost_name == "flops" and np.all(np.abs(ratio - np.log(6.0)) < EXACT):
        return CostModel(log_kappa=float(np.log(6.0)), params_power=1.0, data_power=1.0, residual=0.0, exact=True)
    if is_proportional(samples):
        return CostModel(log_kappa=float(ratio.mean()), params_power=1.0, data_power=1.0, residual=float(ratio.std()))
    log_kappa, p, q = (float(np.ravel(value)[0]) for value in (model.log_kappa, model.params_power, model.data_power))
    point = CostModel(log_kappa=log_kappa, params_power=p, data_power=q)
    away = np.log(samples.cost / point.cost(samples.params, samples.data))
    return CostModel(log_kappa=log_kappa, params_power=p, data_power=q, residual=float(np.sqrt(np.mean(away**2))))


def fit_cost_draws(samples: Samples, weights: Floats) -> CostModel:
    """Fit the cost model to each bootstrap, `weights` of shape (k, n)."""
    x, y = np.log(samples.params), np.log(samples.data)
    centre = np.array([x.mean(), y.mean()])
    # Departures from C ~ N D, shrunk by a whisker: directions that the points leave open then stay at p = q = 1.
    target = np.log(samples.cost) - x - y
    design = np.stack([np.ones_like(x), x - centre[0], y - centre[1]], axis=1)
    normal = np.einsum("kn,ni,nj->kij", weights, design, design, optimize=True)
    normal += np.diag([0.0, 1e-6, 1e-6]) * samples.count
    moment = np.einsum("kn,ni,n->ki", weights, design, target, optimize=True)
    found = np.linalg.solve(normal, moment[:, :, None])[:, :, 0]
    log_kappa = found[:, 0] - found[:, 1:] @ centre
    return CostModel(log_kappa=log_kappa, params_power=1.0 + found[:, 1], data_power=1.0 + found[:, 2])


def fit_step_cost(params: Floats, values: Floats, noise: float) -> AtomStepCost:
    """Fit the cost of inference, floor + scale N^power, to measured sizes by least squares on logarithms.

    The floor is what a step costs however small the network: overhead, and what does not grow with its width. In a
    ladder of widths products grow as N, and the elementwise work as its root, so that the power is expected between:
    `_POWER`, which counts as one more measurement. It matters where few sizes leave the power open.

    Args:
        params: N, at least two different ones, shape (sizes,).
        values: cost of an atom-step or of an MD step, above 0, shape (sizes,).
        noise: by which ln of a value may be off: `TIMED` or `COUNTED`.
    """
    x, y = np.log(params), np.log(values)
    power, log_scale = np.polyfit(x, y, 1)
    bend = float(np.sqrt(np.mean((log_scale + power * x - y) ** 2)))
    if power <= 0:
        return AtomStepCost(log_scale=float(y.mean()), power=0.0)
    if params.size < _SHOW_A_FLOOR or bend < 0.1 * noise:  # as where it is 2 N at every size
        return AtomStepCost(log_scale=float(log_scale), power=float(power))
    expected, give = _POWER

    def residuals(of: Floats) -> Floats:
        away = np.logaddexp(of[0], of[1] + of[2] * (x - x.max())) - y
        return np.append(away / noise, (of[2] - expected) / give)

    starts = [(float(y.min() + np.log(share)), float(y.max() + np.log1p(-share)), 1.0) for share in (0.9, 0.5, 0.1)]
    bounds = ([y.min() - 20.0, y.min() - 20.0, 0.0], [y.max(), y.max() + 1.0, _STEEPEST])
    found = min((least_squares(residuals, start, bounds=bounds) for start in starts), key=lambda fit: fit.cost)
    floor, log_top, steep = (float(value) for value in found.x)
    return AtomStepCost(log_scale=log_top - steep * float(x.max()), power=steep, floor=float(np.exp(floor)))


def cost_findings(samples: Samples, model: CostModel) -> list[Finding]:
    """Find what is suspect about the cost column: two conventions mixed, or no power law."""
    found = []
    if samples.cost_name == "flops" and _mixed(samples, model):
        found.append(
            caution(
                Kind.MIXED_FLOP_CONVENTIONS,
                "the points' C / (N D) falls into groups as if two ways of counting FLOPs were mixed (2ND, 3ND, 6ND, "
                "with or without embeddings): recount them one way",
            )
        )
    elif model.residual > _LOOSE:
        found.append(
            caution(
                Kind.COST_NOT_A_POWER_LAW,
                f"the cost departs from kappa N^p D^q by {model.residual:.0%} (rms): N* and D* at a cost are rough",
            )
        )
    if float(model.params_power) <= 0 or float(model.data_power) <= 0:
        found.append(
            caution(Kind.COST_NOT_A_POWER_LAW, "the cost falls as N or D grows: there is no optimum at a given cost")
        )
    return found


def _mixed(samples: Samples, model: CostModel) -> bool:
    ratio = np.log(samples.cost / (samples.params * samples.data))
    sixes = np.abs(ratio - np.log(6.0)) < EXACT
    if _SHARE <= sixes.mean() <= 1 - _SHARE and np.any(np.abs(ratio[~sixes] - np.log(6.0)) > _GAP):
        return True
    away = np.sort(np.log(samples.cost / model.cost(samples.params, samples.data)))
    if away.size < 6:
        return False
    gaps = np.diff(away)
    split = int(np.argmax(gaps)) + 1
    parts = away[:split], away[split:]
    if min(part.size for part in parts) < _SHARE * away.size or gaps[split - 1] < 0.5 * _GAP:
        return False
    within = max(float(part.std()) for part in parts)
    return bool(parts[1].mean() - parts[0].mean() > _GAP and gaps[split - 1] > 2.0 * within)
