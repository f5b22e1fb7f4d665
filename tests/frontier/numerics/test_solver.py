"""The batched solver: its derivatives against finite differences, its minima against scipy's."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from raysweep.frontier.numerics.problem import LOWER, Problem
from raysweep.frontier.numerics.solver import evaluate, predict, solve

FREE = {
    "additive": np.eye(5),
    "tied": np.stack([np.eye(5)[0], np.eye(5)[1], np.eye(5)[2] + np.eye(5)[4], np.eye(5)[3]], axis=1),
    "asymptote held": np.eye(5)[:, 1:],
    "one term": np.eye(5)[:, :3],
}
THETA = np.array([0.6, -1.0, 0.35, -1.2, 0.4])


def problem(law="additive", noise=0.01, seed=0, over=1.0):
    """Points about a law: 5 sizes x 6 amounts of data."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(-3, 3, 5), np.linspace(-4, 4, 6)))
    terms = 1 if law == "one term" else 2
    made = Problem(x=x, y=y, z=np.zeros_like(x), free=FREE[law], terms=terms, over=over)
    theta = THETA.copy()
    if law == "tied":
        theta[4] = theta[2]
    z = predict(made, theta[None, :])[0] + noise * np.random.default_rng(seed).normal(size=x.size)
    return Problem(x=x, y=y, z=z, free=FREE[law], terms=terms, over=over)


thetas = st.tuples(
    st.floats(0.05, 1.5), st.floats(-3, 1), st.floats(0.05, 1.2), st.floats(-3, 1), st.floats(0.05, 1.2)
).map(np.array)


@pytest.mark.parametrize("law", ["additive", "one term"])
@settings(max_examples=40, deadline=None)
@given(theta=thetas, delta=st.floats(0.02, 2.0), over=st.sampled_from([1.0, 0.4]), seed=st.integers(0, 99))
def test_gradient_and_hessian_are_those_of_the_objective(law, theta, delta, over, seed):
    points = problem(law, noise=0.3, seed=seed, over=over)
    weights = np.random.default_rng(seed).uniform(0.1, 3.0, (1, points.x.size))
    residual = np.abs(points.z - predict(points, theta[None, :])[0])
    # Huber's function has a kink in its slope at delta, and a one-sided weight one at 0.
    assume(np.all(np.abs(residual - delta) > 1e-3))
    assume(np.all(residual > 1e-3))

    def at(moved):
        return evaluate(points, moved[None, :], weights, np.array([[delta]]))

    here, step = at(theta), 1e-5
    movable = 5 if points.terms == 2 else 3
    for k, direction in enumerate(step * np.eye(5)[:movable]):
        ahead, behind = at(theta + direction), at(theta - direction)
        slope = (ahead.objective[0] - behind.objective[0]) / (2 * step)
        assert here.gradient[0, k] == pytest.approx(slope, rel=1e-6, abs=1e-7 * here.scale[0, k])
        bend = (ahead.gradient[0] - behind.gradient[0]) / (2 * step)
        np.testing.assert_allclose(here.hessian[0, k], bend, rtol=1e-5, atol=1e-6 * np.abs(here.hessian[0]).max())
    assert np.all(np.abs(here.gradient) <= here.scale * (1 + 1e-9))


def scipys_minimum(points, start, delta, weights):
    """The objective and theta that scipy's trust-region least squares finds; Huber's function is built into it."""

    def residual(free):
        theta = held + points.free @ free
        return np.sqrt(weights) * (points.z - predict(points, theta[None, :])[0])

    columns = np.linalg.pinv(points.free)
    held = start - points.free @ (columns @ start)
    low, high = (np.full(columns.shape[0], sign * 30.0) for sign in (-1, 1))
    if points.free[0, 0]:
        low[0] = LOWER[0]
    tolerance = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-14}
    found = least_squares(
        residual, columns @ start, bounds=(low, high), loss="huber", f_scale=delta, max_nfev=5000, **tolerance
    )
    return found.cost, held + points.free @ found.x


@pytest.mark.parametrize("delta", [0.005, 10.0])
@pytest.mark.parametrize("law", sorted(FREE))
def test_the_minimum_is_that_of_scipys_least_squares(law, delta):
    for seed in range(3):
        points = problem(law, seed=seed)
        start = THETA * 0.8
        if law == "tied":
            start[4] = start[2]
        ours = solve(points, np.ones((1, points.x.size)), start[None, :], delta)
        cost, theta = scipys_minimum(points, start, delta, np.ones(points.x.size))
        assert ours.converged[0]
        assert ours.gradient_norm[0] < 1e-7
        assert ours.objective[0] <= cost * (1 + 1e-9)
        assert ours.objective[0] == pytest.approx(cost, rel=1e-5)
        moved = np.abs(points.free).sum(axis=1) > 0
        np.testing.assert_allclose(ours.theta[0, moved], theta[moved], rtol=5e-3)
        np.testing.assert_array_equal(ours.theta[0, ~moved], start[~moved])


def test_each_fit_of_a_batch_is_the_one_that_it_would_be_alone():
    points = problem()
    generator = np.random.default_rng(5)
    weights = generator.multinomial(30, np.full(30, 1 / 30), 7).astype(float)
    start = THETA * generator.uniform(0.7, 1.3, (7, 5))
    together = solve(points, weights, start, 0.02)
    for k in range(7):
        alone = solve(points, weights[[k]], start[[k]], 0.02)
        np.testing.assert_allclose(alone.theta[0], together.theta[k], rtol=1e-7)  # as far as the solver goes


def test_a_weight_is_a_number_of_copies():
    points = problem()
    times = np.random.default_rng(1).integers(0, 4, 30)
    copies = np.repeat(np.arange(30), times)
    repeated = Problem(x=points.x[copies], y=points.y[copies], z=points.z[copies], free=points.free)
    weighted = solve(points, times[None, :].astype(float), THETA[None, :], 0.02)
    listed = solve(repeated, np.ones((1, copies.size)), THETA[None, :], 0.02)
    np.testing.assert_allclose(weighted.theta, listed.theta, rtol=1e-8)
    assert weighted.objective[0] == pytest.approx(listed.objective[0], rel=1e-10)


def test_a_parameter_at_its_bound_is_marked_and_the_others_are_at_their_minimum():
    points = problem()
    below = predict(points, np.array([[-0.1, *THETA[1:]]]))[0]  # an asymptote below 0
    sinking = Problem(x=points.x, y=points.y, z=below, free=points.free)
    found = solve(sinking, np.ones((1, 30)), THETA[None, :], 10.0)
    assert found.at_bound[0].tolist() == [True, False, False, False, False]
    assert found.theta[0, 0] == 0.0
    assert found.converged[0]
    held = Problem(x=sinking.x, y=sinking.y, z=sinking.z, free=np.eye(5)[:, 1:])
    start = found.theta.copy()
    start[0, 1:] *= 1.1
    again = solve(held, np.ones((1, 30)), start, 10.0)
    np.testing.assert_allclose(again.theta, found.theta, rtol=1e-6)


def test_too_few_iterations_are_not_taken_for_convergence():
    found = solve(problem(), np.ones((1, 30)), THETA[None, :] * 0.5, 0.02, iterations=1)
    assert not found.converged[0]
    assert found.gradient_norm[0] > 1e-6
