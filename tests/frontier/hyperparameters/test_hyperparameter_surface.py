"""The least-squares problem of the valley: its derivatives, its cells, its near-optimal range."""

import numpy as np
import pytest

from raysweep.frontier.hyperparameters import surface
from raysweep.frontier.hyperparameters.laws import range_within
from raysweep.frontier.hyperparameters.runs import cells_of


def problem(axes: int) -> surface.Valley:
    generator = np.random.default_rng(0)
    cell = np.repeat(np.arange(5), 12)
    known = generator.normal(size=(5, 2))
    designs = (np.c_[np.ones(5), known], np.c_[np.ones(5), known[:, 1]])[:axes]
    logs = generator.normal(size=(60, axes))
    return surface.Valley(
        logs=logs, loss=generator.normal(size=60), cell=cell, designs=designs, scale=0.1 * known, cubic=True
    )


@pytest.mark.parametrize("axes", [1, 2])
def test_derivatives_are_those_of_differences(axes):
    valley = problem(axes)
    theta = 0.3 * np.random.default_rng(1).normal(size=(1, valley.parameters))
    _, jacobian = surface._model(valley, theta)
    for place in range(valley.parameters):
        step = np.zeros_like(theta)
        step[0, place] = 1e-6
        change = (surface._model(valley, theta + step)[0] - surface._model(valley, theta - step)[0]) / 2e-6
        np.testing.assert_allclose(jacobian[..., place], change, rtol=1e-6, atol=1e-8)


def test_residuals_have_a_weighted_mean_of_zero_in_each_cell():
    valley = problem(2)
    weights = np.random.default_rng(2).random((1, 60))
    left = surface.residuals(valley, np.full((1, valley.parameters), 0.1), weights)
    sums = np.add.reduceat(weights * left, valley.starts, axis=1)
    np.testing.assert_allclose(sums, 0.0, atol=1e-12)


def test_the_near_optimal_range_solves_the_cubic_on_either_side():
    below, above = range_within(0.02, 0.01, 0.005)
    for u in (below, above):
        assert 0.01 * u**2 + 0.01 * u**3 / 6 == pytest.approx(np.log(1.005), rel=1e-9)
    assert below < 0 < above
    assert above < -below  # steeper towards high rates
    assert range_within(0.02, 0.0, 0.005) == pytest.approx(
        (-np.sqrt(np.log(1.005) / 0.01), np.sqrt(np.log(1.005) / 0.01))
    )


def test_runs_whose_d_differs_by_a_per_cent_are_of_one_cell_and_those_of_another_n_are_not():
    params = np.array([1e6, 1e6, 1e6, 1e6, 2e6])
    data = np.array([1e9, 1.01e9, 1.5e9, 1.49e9, 1e9])
    assert cells_of(params, data).tolist() == [0, 0, 1, 1, 2]
