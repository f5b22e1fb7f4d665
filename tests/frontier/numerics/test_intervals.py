"""Intervals from draws against scipy's bootstrap, and against closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from raysweep.core.errors import FrontierError
from raysweep.frontier.numerics.intervals import (
    Interval,
    bca,
    interval_of,
    jackknife_variance,
    percentile,
    resample,
    robust_error,
    studentised,
)

STATISTICS = {"mean": np.mean, "variance": np.var, "log of the mean": lambda x, axis=-1: np.log(np.mean(x, axis=axis))}


def left_out(sample, statistic):
    return np.array([statistic(np.delete(sample, k)) for k in range(sample.size)])


@pytest.mark.parametrize("name", STATISTICS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), level=st.sampled_from([0.5, 0.8, 0.95]), size=st.integers(8, 40))
def test_percentile_and_bca_are_those_of_scipy(name, seed, level, size):
    generator = np.random.default_rng(seed)
    sample, statistic = generator.gamma(2.0, size=size), STATISTICS[name]
    options = {"n_resamples": 999, "confidence_level": level, "axis": -1, "vectorized": True}
    for method in ("percentile", "BCa"):
        theirs = stats.bootstrap((sample,), statistic, method=method, rng=np.random.default_rng(seed), **options)
        draws = theirs.bootstrap_distribution
        if method == "percentile":
            ours = percentile(draws, level)
        else:
            ours = bca(float(statistic(sample)), draws, left_out(sample, statistic), level)
        assert ours == pytest.approx(tuple(theirs.confidence_interval), rel=1e-9)


def test_bca_without_a_jackknife_is_the_bias_corrected_interval():
    draws = np.random.default_rng(0).normal(size=5000)
    assert bca(float(np.median(draws)), draws, None, 0.9) == pytest.approx(percentile(draws, 0.9), abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(3, 30))
def test_the_jackknife_of_a_mean_has_the_variance_of_a_mean(seed, size):
    sample = np.random.default_rng(seed).normal(size=size)
    assert jackknife_variance(left_out(sample, np.mean)) == pytest.approx(sample.var(ddof=1) / size, rel=1e-9)


def test_the_robust_error_is_a_gaussians_standard_deviation_and_ignores_far_draws():
    draws = 3.0 + 0.2 * stats.norm.ppf((np.arange(10**5) + 0.5) / 10**5)
    assert robust_error(draws) == pytest.approx(0.2, rel=1e-4)
    draws[:5000] = 1e9
    assert robust_error(draws) == pytest.approx(0.2, rel=0.08)


def test_the_studentised_interval_of_a_mean_is_students():
    sample = np.random.default_rng(1).normal(5.0, 2.0, 12)
    jackknife = left_out(sample, np.mean)
    error = np.sqrt(sample.var(ddof=1) / 12)
    draws = sample.mean() + error * stats.norm.ppf((np.arange(20001) + 0.5) / 20001)
    want = stats.t.interval(0.95, 11, sample.mean(), error)
    for clustered in (False, True):
        got = studentised(float(sample.mean()), draws, jackknife, 0.95, 11, clustered)
        assert got == pytest.approx(want, rel=1e-4)
    narrow = 0.1 * (draws - sample.mean()) + sample.mean()
    low, high = studentised(float(sample.mean()), narrow, jackknife, 0.95, 11, clustered=False)
    assert (high - low) / (want[1] - want[0]) == pytest.approx(np.sqrt(0.5 + 0.5 * 0.01), rel=1e-3)
    assert studentised(float(sample.mean()), narrow, jackknife, 0.95, 11, clustered=True) == pytest.approx(want)


def test_resamples_have_the_moments_of_drawing_with_replacement():
    weights = resample(np.arange(20), 20000, seed=4)
    assert np.all(weights.sum(axis=1) == 20)
    np.testing.assert_allclose(weights.mean(axis=0), 1.0, atol=0.04)
    np.testing.assert_allclose(weights.var(axis=0), 1 - 1 / 20, atol=0.06)
    assert np.corrcoef(weights[:, 0], weights[:, 1])[0, 1] == pytest.approx(-1 / 19, abs=0.03)
    np.testing.assert_array_equal(weights, resample(np.arange(20), 20000, seed=4))


def test_an_interval_is_asked_for_by_its_method_and_leaves_out_draws_that_are_not_finite():
    draws = np.concatenate([np.linspace(-1, 1, 201), [np.nan, np.inf]])
    arguments = (0.0, draws, None, 0.9, 10, False)
    assert interval_of(*arguments, "percentile") == pytest.approx((-0.9, 0.9, "percentile"))
    assert interval_of(*arguments, "default")[2] == "studentised"
    assert interval_of(*arguments, "bca")[2] == "bca"
    with pytest.raises(FrontierError, match="no interval method 'normal'"):
        interval_of(*arguments, "normal")
    with pytest.raises(FrontierError, match="level = 95"):
        interval_of(0.0, draws, None, 95, 10, False, "bca")


def test_an_interval_knows_its_width_and_what_it_holds():
    interval = Interval(low=1.0, high=3.0, level=0.95, method="bca")
    assert interval.width == 2.0
    assert 1.0 in interval
    assert 3.1 not in interval
    assert tuple(interval) == (1.0, 3.0)
