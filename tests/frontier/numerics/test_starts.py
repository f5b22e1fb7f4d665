"""Starts: given the exponents, E, A and B are those of linear least squares."""

import numpy as np
import pytest

from raysweep.frontier.numerics.problem import LOWER, UPPER, Problem
from raysweep.frontier.numerics.solver import predict
from raysweep.frontier.numerics.starts import grid_starts

THETA = np.array([0.6, -1.0, 0.35, -1.2, 0.4])


IDENTITY = np.eye(5)


def problem(free=IDENTITY, terms=2):
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(-3, 3, 5), np.linspace(-4, 4, 6)))
    made = Problem(x=x, y=y, z=np.zeros_like(x), free=free, terms=terms)
    noise = 0.01 * np.random.default_rng(0).normal(size=x.size)
    return Problem(x=x, y=y, z=predict(made, THETA[None, :])[0] + noise, free=free, terms=terms)


@pytest.mark.parametrize("terms", [1, 2])
def test_a_start_has_the_coefficients_of_linear_least_squares(terms):
    points = problem(free=np.eye(5)[:, : 2 * terms + 1], terms=terms)
    weights = np.random.default_rng(3).uniform(0.5, 2.0, points.x.size)
    starts = grid_starts(points, weights, 64, seed=0)
    compared = 0
    for start in starts:
        terms_at = [np.ones_like(points.x), np.exp(-start[2] * points.x), np.exp(-start[4] * points.y)][: terms + 1]
        scale = np.sqrt(weights) * np.exp(-points.z)  # relative residuals
        design = np.stack(terms_at, axis=1) * scale[:, None]
        found = np.linalg.lstsq(design, np.sqrt(weights), rcond=None)[0]
        if found[0] >= 0 and np.all(found[1:] > 1e-3):  # else non-negativity, or the floor, has a say
            compared += 1
            assert start[0] == pytest.approx(found[0], rel=1e-6, abs=1e-9)
            assert start[1] == pytest.approx(np.log(found[1]), abs=1e-6)
            if terms == 2:
                assert start[3] == pytest.approx(np.log(found[2]), abs=1e-6)
    assert compared >= 10


def test_starts_spread_over_the_exponents_inside_the_bounds():
    starts = grid_starts(problem(), np.ones(30), 64, seed=0)
    assert starts.shape == (64, 5)
    assert np.all((starts >= LOWER[:5]) & (starts <= UPPER[:5]))
    for place in (2, 4):
        assert starts[:, place].min() < 0.06
        assert starts[:, place].max() > 1.5
    np.testing.assert_array_equal(starts, grid_starts(problem(), np.ones(30), 64, seed=0))
    assert not np.array_equal(starts, grid_starts(problem(), np.ones(30), 64, seed=1))


def test_tied_exponents_start_equal_and_what_is_held_starts_at_its_value():
    tied = np.stack([IDENTITY[0], IDENTITY[1], IDENTITY[2] + IDENTITY[4], IDENTITY[3]], axis=1)
    starts = grid_starts(problem(free=tied), np.ones(30), 16, seed=0)
    np.testing.assert_array_equal(starts[:, 2], starts[:, 4])
    held = grid_starts(problem(free=IDENTITY[:, 1:]), np.ones(30), 16, seed=0, fixed=np.array([0.37, 9, 9, 9, 9]))
    np.testing.assert_array_equal(held[:, 0], 0.37)
    assert np.all(held[:, 1:] < 9)
