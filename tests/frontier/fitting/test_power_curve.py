"""The envelope and its power law."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples_for import samples_for
from scipy.optimize import curve_fit

from raysweep.frontier.fitting.power_curve import fit_power_curve, on_envelope, straight_line, to_curve


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 12))
def test_the_envelope_is_the_points_below_all_of_less_or_equal_compute(seed, count):
    generator = np.random.default_rng(seed)
    cost, loss = generator.integers(1, 6, count).astype(float), generator.integers(1, 9, count).astype(float)
    drawn = generator.integers(0, 2, (3, count)).astype(float)
    points = {"params": np.arange(1.0, count + 1), "data": np.ones(count), "flops": cost, "loss": loss}
    chosen = on_envelope(samples_for(points), drawn)
    for k in range(3):
        present = np.flatnonzero(drawn[k])
        for place in range(count):
            rivals = [j for j in present if j != place and cost[j] <= cost[place]]
            lower = bool(drawn[k, place] > 0) and all(loss[j] > loss[place] for j in rivals)
            tied = [j for j in rivals if (cost[j], loss[j]) == (cost[place], loss[place])]
            if not tied:  # one of equal points is on it, whichever comes first
                assert bool(chosen[k, place]) is lower


def test_a_power_law_is_recovered_and_is_scipys():
    cost = np.geomspace(1e16, 1e22, 12)
    exact = fit_power_curve(cost, 1.7 + 900 * cost**-0.15, np.ones(12), None, None, seed=0)
    curve = to_curve(exact, exact.minimum.theta, (0.0, 0.0, 0.0, 0.0))
    assert float(curve.E) == pytest.approx(1.7, rel=1e-6)
    assert float(np.exp(curve.log_F)) == pytest.approx(900, rel=1e-5)
    assert float(curve.gamma) == pytest.approx(0.15, rel=1e-6)
    loss = (1.7 + 900 * cost**-0.15) * np.exp(0.003 * np.random.default_rng(0).normal(size=12))
    noisy = fit_power_curve(cost, loss, np.ones(12), None, 10.0, seed=0)  # least squares of ln loss
    law = to_curve(noisy, noisy.minimum.theta, (0.0, 0.0, 0.0, 0.0))

    def log_loss(x, e, log_f, gamma):
        return np.log(e + np.exp(log_f - gamma * x))

    want, _ = curve_fit(log_loss, np.log(cost), np.log(loss), p0=(1.5, 6.0, 0.1), maxfev=20000)
    np.testing.assert_allclose([float(law.E), float(law.log_F), float(law.gamma)], want, rtol=1e-4)


def test_a_held_asymptote_stays():
    cost = np.geomspace(1e16, 1e22, 12)
    fit = fit_power_curve(cost, 1.7 + 900 * cost**-0.15, np.ones(12), 1.5, None, seed=0)
    assert float(to_curve(fit, fit.minimum.theta, (0.0,) * 4).E) == pytest.approx(1.5, rel=1e-12)


def test_straight_lines_are_those_of_weighted_least_squares():
    generator = np.random.default_rng(0)
    x, values = generator.normal(size=9), generator.normal(size=(4, 9))
    weights = generator.uniform(0.1, 2.0, (4, 9))
    intercept, slope = straight_line(x, values, weights)
    for k in range(4):
        want = np.polyfit(x, values[k], 1, w=np.sqrt(weights[k]))
        np.testing.assert_allclose((slope[k], intercept[k]), want, rtol=1e-9)
