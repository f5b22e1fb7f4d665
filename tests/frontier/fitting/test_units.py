"""Resampling units: which points are drawn together, and how many degrees of freedom that leaves."""

import numpy as np
import pytest
from samples_for import samples_for

from raysweep.frontier.fitting.trajectories import (
    degrees_of_freedom,
    determined_without_any,
    resampling_units,
    trajectories,
    without_each,
)
from raysweep.frontier.laws.forms import Form


def grid(sizes, seeds, named=True):
    """Four points on each of sizes x seeds trajectories."""
    params = np.repeat(np.geomspace(1e6, 1e9, sizes), seeds * 4)
    data = np.tile(np.geomspace(1e8, 1e11, 4), sizes * seeds)
    run = np.repeat([f"run {k}" for k in range(sizes * seeds)], 4)
    points = {"params": params, "data": data, "flops": 6 * params * data, "loss": 1 + params**-0.3}
    return samples_for({**points, "trajectory": run} if named else points)


def test_trajectories_are_numbered_as_they_come_and_unnamed_points_stand_alone():
    samples = grid(2, 1)
    np.testing.assert_array_equal(trajectories(samples), [0] * 4 + [1] * 4)
    np.testing.assert_array_equal(trajectories(grid(2, 1, named=False)), np.arange(8))
    samples.trajectory[[1, 5]] = None
    np.testing.assert_array_equal(trajectories(samples), [0, 1, 0, 0, 2, 3, 2, 2])


@pytest.mark.parametrize(
    ("sizes", "seeds", "form", "determined"),
    [
        (3, 1, Form(), False),  # without one size two are left, which do not tell E, A and alpha apart
        (4, 1, Form(), True),
        (3, 2, Form(), True),
        (3, 1, Form(asymptote=0.5), True),
        (2, 1, Form(asymptote=0.5), False),
        (1, 3, Form(law="data"), True),
        (1, 2, Form(law="data"), False),
    ],
)
def test_trajectories_are_drawn_where_the_law_is_determined_without_any_one(sizes, seeds, form, determined):
    samples = grid(sizes, seeds)
    assert determined_without_any(samples, form) is determined
    units = trajectories(samples) if determined else np.arange(samples.count)
    np.testing.assert_array_equal(resampling_units(samples, form), units)
    freedom = sizes * seeds - 1 if determined else samples.count - form.parameters
    assert degrees_of_freedom(samples, form) == min(freedom, samples.count - form.parameters)


@pytest.mark.parametrize(
    ("form", "count"),
    [
        (Form(), 5),
        (Form(asymptote=0.0), 4),
        (Form(law="tied"), 4),
        (Form(law="data_constrained"), 6),
        (Form(law="params"), 3),
        (Form(law="data", asymptote=1.0), 2),
    ],
)
def test_a_form_knows_its_parameters(form, count):
    assert form.parameters == count


def test_each_unit_is_left_out_once():
    np.testing.assert_array_equal(without_each(np.array([0, 1, 0])), [[0, 1, 0], [1, 0, 1]])
