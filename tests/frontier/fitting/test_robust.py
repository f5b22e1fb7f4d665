"""The noise, the threshold that follows it, and the weights of outliers."""

import numpy as np
import pytest
from scipy import stats

from raysweep.frontier.fitting.robust import (
    EFFICIENT,
    LEAST_DELTA,
    adapt_delta,
    best_minimum,
    descend,
    outlier_weights,
    robust_scale,
)
from raysweep.frontier.numerics.problem import Problem
from raysweep.frontier.numerics.solver import predict, solve

THETA = np.array([[0.6, -1.0, 0.35, -1.2, 0.4]])


def problem(noise=0.01):
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(-3, 3, 8), np.linspace(-4, 4, 10)))
    made = Problem(x=x, y=y, z=np.zeros_like(x), free=np.eye(5))
    z = predict(made, THETA)[0] + noise * np.random.default_rng(0).normal(size=x.size)
    return Problem(x=x, y=y, z=z, free=np.eye(5))


def test_the_scale_of_gaussian_residuals_is_their_standard_deviation_corrected_for_parameters():
    residuals = 0.3 * stats.norm.ppf((np.arange(1000) + 0.5) / 1000)
    assert robust_scale(residuals, 0) == pytest.approx(0.3, rel=1e-3)
    assert robust_scale(residuals, 750) == pytest.approx(0.6, rel=1e-3)
    assert robust_scale(residuals[:5], 5) == 0.0


def test_delta_is_a_multiple_of_the_noise_that_its_own_fit_leaves():
    points, weights = problem(), np.ones((1, 80))
    delta = adapt_delta(points, weights, solve(points, weights, THETA, 0.1))
    residuals = points.z - predict(points, solve(points, weights, THETA, delta).theta)[0]
    assert delta == pytest.approx(EFFICIENT * robust_scale(residuals, 5), rel=1e-3)
    clean = problem(noise=0.0)
    assert adapt_delta(clean, weights, solve(clean, weights, THETA, 0.1)) == LEAST_DELTA


def test_weights_fall_between_three_and_six_noises():
    points = problem(noise=0.0)
    away = np.zeros(80)
    away[:5] = np.array([2.9, 3.0, -4.5, 6.0, -9.0]) * 0.01
    moved = Problem(x=points.x, y=points.y, z=points.z + away, free=points.free)
    weights = outlier_weights(moved, THETA, 0.01)[0]
    np.testing.assert_allclose(weights[:5], [1.0, 1.0, 0.5, 0.0, 0.0], atol=1e-9)
    np.testing.assert_array_equal(weights[5:], 1.0)


def test_where_a_quarter_of_the_points_would_fall_silent_all_keep_their_weight():
    points = problem(noise=0.0)
    for count, kept in ((20, False), (21, True)):
        moved = Problem(x=points.x, y=points.y, z=points.z + np.where(np.arange(80) < count, 0.5, 0.0), free=np.eye(5))
        assert bool(np.all(outlier_weights(moved, THETA, 0.01) == 1.0)) is kept


def test_descending_in_stages_ends_at_the_wanted_delta():
    points, weights = problem(), np.ones((1, 80))
    found = descend(points, weights, THETA, 1e-3)
    np.testing.assert_allclose(found.theta, solve(points, weights, found.theta, 1e-3).theta, rtol=1e-6)


def test_the_best_minimum_is_the_lowest_and_counts_the_starts_that_agree():
    points, weights = problem(), np.ones((1, 80))
    start = np.repeat(THETA, 3, axis=0)
    found = solve(points, weights, start, 0.1)
    found.objective[:] = found.objective[0] * np.array([1.0, 1.01, 1 + 1e-8])
    minimum = best_minimum(points, found, 0.1)
    assert (minimum.starts, minimum.agreeing) == (3, 2)
    assert minimum.objective == found.objective[0]
    np.testing.assert_array_equal(minimum.residuals, points.z - predict(points, found.theta[[0]])[0])
    assert minimum.noise == robust_scale(minimum.residuals, 5)
