"""The fitted cost model against least squares."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples_for import samples_for
from surfaces import CHINCHILLA, valleys

from raysweep.frontier.fitting.costs import cost_findings, fit_cost, fit_cost_draws, is_proportional
from raysweep.frontier.points.findings import Kind


def with_cost(cost):
    points = valleys(CHINCHILLA)
    return samples_for({**points, "flops": cost(points["params"], points["data"])})


@settings(max_examples=30, deadline=None)
@given(log_kappa=st.floats(-3, 8), p=st.floats(0.5, 1.6), q=st.floats(0.5, 1.6))
def test_a_power_law_is_recovered(log_kappa, p, q):
    found = fit_cost(with_cost(lambda n, d: np.exp(log_kappa) * n**p * d**q))
    assert found.params_power == pytest.approx(p, abs=1e-4)
    assert found.data_power == pytest.approx(q, abs=1e-4)
    assert found.residual < 1e-3


def test_6nd_is_exact_and_another_factor_is_proportional():
    exact = fit_cost(with_cost(lambda n, d: 6 * n * d))
    assert (exact.exact, exact.params_power, exact.data_power, exact.residual) == (True, 1.0, 1.0, 0.0)
    other = fit_cost(with_cost(lambda n, d: 2.5 * n * d))
    assert (other.exact, other.params_power, other.data_power) == (False, 1.0, 1.0)
    assert np.exp(other.log_kappa) == pytest.approx(2.5)
    assert is_proportional(with_cost(lambda n, d: 2.5 * n * d))
    assert not is_proportional(with_cost(lambda n, d: n**1.01 * d))


def test_draws_are_weighted_least_squares():
    noise = np.exp(0.05 * np.random.default_rng(0).normal(size=40))
    samples = with_cost(lambda n, d: 30 * n**0.9 * d**1.1 * noise)
    weights = np.random.default_rng(1).integers(0, 4, (3, 40)).astype(float)
    found = fit_cost_draws(samples, weights)
    x, y = np.log(samples.params), np.log(samples.data)
    for k in range(3):
        root = np.sqrt(weights[k])
        design = np.stack([np.ones(40), x, y], axis=1) * root[:, None]
        want = np.linalg.lstsq(design, np.log(samples.cost) * root, rcond=None)[0]
        got = (found.log_kappa[k], found.params_power[k], found.data_power[k])
        np.testing.assert_allclose(got, want, rtol=1e-3)


def test_one_size_leaves_its_power_at_one():
    points = valleys(CHINCHILLA)
    points["params"] = np.full(40, 1e9)
    points["flops"] = 7 * points["params"] * points["data"] ** 1.2
    found = fit_cost(samples_for(points))
    assert found.params_power == pytest.approx(1.0, abs=1e-6)
    assert found.data_power == pytest.approx(1.2, abs=1e-4)


def test_a_loose_cost_and_a_falling_one_are_named():
    loose = with_cost(lambda n, d: n * d * np.exp(0.3 * np.random.default_rng(0).normal(size=40)))
    assert Kind.COST_NOT_A_POWER_LAW in [found.kind for found in cost_findings(loose, fit_cost(loose))]
    falling = with_cost(lambda n, d: n**-0.5 * d)
    (found,) = cost_findings(falling, fit_cost(falling))
    assert "no optimum" in found.sentence
