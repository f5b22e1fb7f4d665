"""Laws that extend the additive one: derivatives against finite differences, and what they are in the limits."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from raysweep.frontier.numerics.extended import evaluate_extended, gradient_extended
from raysweep.frontier.numerics.problem import PLACES, Problem
from raysweep.frontier.numerics.solver import evaluate, predict, solve

ADDITIVE = np.array([0.6, -1.0, 0.35, -1.2, 0.4])
EXTENDED = np.array([0.6, -1.0, 0.35, -1.2, 0.4, 0.5, 0.2, -1.0, -0.15, 0.7])
PRIOR = np.stack([np.full(PLACES, 0.1), np.linspace(0.0, 3.0, PLACES)])


def problem(theta=EXTENDED, noise=0.01, seed=0, **of):
    """Points about a law: 5 sizes x 6 amounts of data."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(-3, 3, 5), np.linspace(-4, 4, 6)))
    of = {"free": np.eye(PLACES), **of}
    made = Problem(x=x, y=y, z=np.zeros_like(x), **of)
    z = predict(made, theta[None, :])[0] + noise * np.random.default_rng(seed).normal(size=x.size)
    return Problem(x=x, y=y, z=z, **of)


thetas = st.tuples(
    *(st.floats(low, high) for low, high in [(0.05, 1.5), (-3, 1), (0.05, 1.2), (-3, 1), (0.05, 1.2)]),
    *(st.floats(low, high) for low, high in [(-1, 1), (-0.5, 0.5), (-3, 3), (-0.5, 0.5), (-3, 3)]),
).map(np.array)


@settings(max_examples=30, deadline=None)
@given(theta=thetas, delta=st.floats(0.02, 2.0), seed=st.integers(0, 99), prior=st.sampled_from([None, PRIOR]))
def test_gradients_are_those_of_the_objective_and_of_the_law(theta, delta, seed, prior):
    points = problem(noise=0.3, seed=seed, over=0.4, prior=prior)
    weights = np.random.default_rng(seed).uniform(0.1, 3.0, (1, points.x.size))
    residual = points.z - predict(points, theta[None, :])[0]
    assume(np.all(np.abs(np.abs(residual) - delta) > 1e-3))  # Huber's function has a kink in its slope at delta
    assume(np.all(np.abs(residual) > 1e-3))  # and a one-sided weight one at 0

    def at(moved):
        return evaluate(points, moved[None, :], weights, np.array([[delta]]))

    here, law, step = at(theta), gradient_extended(points, theta[None, :])[0], 1e-5
    for k, direction in enumerate(step * np.eye(PLACES)):
        slope = (at(theta + direction).objective[0] - at(theta - direction).objective[0]) / (2 * step)
        assert here.gradient[0, k] == pytest.approx(slope, rel=1e-5, abs=1e-6 * here.scale[0, k] + 1e-9)
        moved = [predict(points, (theta + side * direction)[None, :])[0] for side in (1, -1)]
        np.testing.assert_allclose(law[k], (moved[0] - moved[1]) / (2 * step), rtol=1e-5, atol=1e-8)


def test_the_additive_law_is_the_one_of_independent_terms_without_breaks():
    theta = np.concatenate([ADDITIVE, np.zeros(5)])
    points = problem(theta)
    plain = Problem(x=points.x, y=points.y, z=points.z, free=np.eye(5))
    np.testing.assert_allclose(predict(points, theta[None, :]), predict(plain, ADDITIVE[None, :]), rtol=1e-13)
    weights, delta = np.ones((1, points.x.size)), np.array([[0.05]])
    both = evaluate(plain, ADDITIVE[None, :], weights, delta), evaluate(points, theta[None, :], weights, delta)
    np.testing.assert_allclose(both[0].objective, both[1].objective, rtol=1e-12)
    np.testing.assert_allclose(both[0].gradient[0], both[1].gradient[0, :5], rtol=1e-9, atol=1e-12)


def test_a_break_from_exponent_0_is_an_offset():
    beta, place = 0.4, -0.7
    theta = np.array([0.6, -60.0, 0.3, -1.2, beta, 0.0, 0.0, 0.0, -beta, place])
    points = problem(theta)
    offset = 0.6 + np.exp(-1.2) * (np.exp(points.y) + np.exp(place)) ** -beta
    np.testing.assert_allclose(predict(points, theta[None, :])[0], np.log(offset), rtol=1e-12)


def test_coupled_terms_are_kaplans_law():
    """2001.08361, eq. 1.5: L = [(N_c / N)^(alpha_N / alpha_D) + D_c / D]^alpha_D, which has no E."""
    alpha, beta = 0.076, 0.095
    theta = np.array([0.0, alpha * 2.0, alpha, beta * 1.5, beta, np.log(beta), 0.0, 0.0, 0.0, 0.0])
    points = problem(theta)
    kaplan = (np.exp(2.0 - points.x) ** (alpha / beta) + np.exp(1.5 - points.y)) ** beta
    np.testing.assert_allclose(predict(points, theta[None, :])[0], np.log(kaplan), rtol=1e-12)


@pytest.mark.parametrize("places", [[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 8, 9], [1, 2, 3, 4, 6, 7]])
def test_the_solver_finds_the_law_that_the_points_follow(places):
    theta = np.concatenate([ADDITIVE, np.zeros(5)])
    theta[places] = EXTENDED[places]
    points = problem(theta, noise=0.0, free=np.eye(PLACES)[:, places])
    start = theta.copy()
    start[places] += 0.1
    found = solve(points, np.ones((1, points.x.size)), start[None, :], 0.1)
    np.testing.assert_allclose(found.theta[0], theta, atol=2e-4)
    assert found.objective[0] < 1e-12


def test_a_batch_in_parts_gives_what_it_gives_whole(monkeypatch):
    points = problem(noise=0.1)
    theta = EXTENDED + 0.1 * np.random.default_rng(1).normal(size=(7, PLACES))
    weights = np.random.default_rng(2).uniform(size=(7, points.x.size))
    delta = np.full((7, 1), 0.05)
    whole = evaluate_extended(points, theta, weights, delta)
    monkeypatch.setattr("raysweep.frontier.numerics.extended._CHUNK", 1)
    parts = evaluate_extended(points, theta, weights, delta)
    for name in ("objective", "gradient", "hessian", "scale"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-12)
