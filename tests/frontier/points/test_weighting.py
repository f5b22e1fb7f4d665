"""Weights that grow towards the largest compute, as far as the number of points allows."""

import numpy as np
import pytest

from raysweep.frontier.points.samples import Samples
from raysweep.frontier.points.weighting import POINTS_PER_PARAMETER, toward_largest


def samples(count, span=1e4, weight=None):
    cost = np.geomspace(1.0, span, count)
    weight = np.ones(count) if weight is None else weight
    return Samples(params=cost, data=cost, cost=cost, loss=np.ones(count), weight=weight, row=np.arange(count))


def test_many_points_weigh_in_proportion_to_their_compute():
    made = samples(400)
    found = toward_largest(made, 6)
    assert found.weight == pytest.approx(made.cost / made.cost.max())
    assert found.cost is made.cost


def test_fewer_points_keep_as_many_effective_ones_as_the_law_needs():
    weight = toward_largest(samples(40), 6).weight
    assert weight.sum() ** 2 / (weight**2).sum() == pytest.approx(POINTS_PER_PARAMETER * 6)
    assert np.all(np.diff(weight) > 0)


def test_too_few_points_keep_their_weights():
    given = np.linspace(1.0, 2.0, 10)
    assert toward_largest(samples(10, weight=given), 6).weight == pytest.approx(given)


def test_weights_that_were_given_multiply():
    given = np.linspace(1.0, 2.0, 400)
    assert toward_largest(samples(400, weight=given), 6).weight == pytest.approx(
        given * toward_largest(samples(400), 6).weight
    )
