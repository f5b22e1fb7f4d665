"""The information that runs hold on a law: its gradient at their points, in units of the noise of runs.

Points of one run share its remembered deviation, so their rows are whitened (`fitting.run_noise.runs.whiten`): row k
holds what point k tells beyond the points of its run before it, and a run that ends earlier has the first rows alone.
"""

import numpy as np

from raysweep.frontier.fitting.run_noise.noise import RunNoise
from raysweep.frontier.fitting.run_noise.runs import Memory, arrange_runs, whiten
from raysweep.frontier.fitting.surfaces import Prepared, log_loss_gradient, to_surface
from raysweep.frontier.laws.forms import Form
from raysweep.frontier.laws.laws import CostModel
from raysweep.frontier.laws.quantities import Quantity
from raysweep.frontier.numerics.arrays import Floats, Indices

RIDGE = 1e-9
"""Added to an information matrix, relative to its diagonal: directions that the points leave open stay finite."""
_STEP = 1e-5
"""In theta, of the gradient of an answer."""
_LEAST_NOISE = 1e-9


def independent_rows(
    prepared: Prepared, form: Form, theta: Floats, params: Floats, data: Floats, noise: float
) -> Floats:
    """Gradient of ln loss at points whose noise is independent, in units of it, shape (m, p)."""
    return np.asarray(log_loss_gradient(prepared, form, theta, params, data) / max(noise, _LEAST_NOISE))


def run_rows(
    prepared: Prepared,
    form: Form,
    theta: Floats,
    params: Floats,
    data: Floats,
    run: Indices,
    noise: RunNoise,
    trust: Floats | None = None,
) -> Floats:
    """Gradient of ln loss at the points of runs, whitened and in units of the noise of runs.

    Args:
        prepared: the law's coordinates.
        form: of the law.
        theta: the law.
        params: N of each point, shape (n,).
        data: D of each point, shape (n,).
        run: number of each point's run from 0, shape (n,).
        noise: of runs.
        trust: of each point, from 0 to 1, times its weight; None: all alike.

    Returns:
        Shape (r * m, p) for r runs of at most m points, each run's in the order of D; zeros where a run has fewer.
    """
    ones = np.ones(params.size)
    runs = arrange_runs(
        np.log(params), np.log(data), run, ones if trust is None else trust, ones, float(np.log(noise.params))
    )
    memory = Memory(memory=np.array([noise.memory]), white=np.array([noise.white]), slope=np.array([noise.slope]))
    white, _ = whiten(runs, memory, log_loss_gradient(prepared, form, theta, params, data)[None])
    return np.asarray(white[0] / max(noise.deviation, _LEAST_NOISE))


def information_of(rows: Floats) -> Floats:
    """The information matrix of some rows, shape (p, p), kept invertible."""
    found = rows.T @ rows
    return np.asarray(found + np.diag(RIDGE * np.diag(found) + 1e-12))


def answer_gradient(prepared: Prepared, form: Form, theta: Floats, cost: CostModel, wanted: Quantity) -> Floats:
    """Gradient of an answer (in ln where it is positive) along the law's free directions, shape (p,)."""
    free = prepared.problem.free

    def answer(moved: Floats) -> float:
        value = float(wanted.value(to_surface(prepared, moved, cost, form)))
        return float(np.log(value)) if wanted.positive else value

    slopes = [
        (answer(theta + _STEP * free[:, k]) - answer(theta - _STEP * free[:, k])) / (2 * _STEP)
        for k in range(free.shape[1])
    ]
    return np.array(slopes)
