"""The answers: near-optimal sizes, intervals of what follows from a law, prediction intervals."""

import numpy as np
import pytest
from scipy import stats
from surfaces import CHINCHILLA, surface, valleys

from raysweep.core.errors import FrontierError
from raysweep.frontier import fit
from raysweep.frontier.answers.influence import influences
from raysweep.frontier.answers.near_optimal import band, near_optimal
from raysweep.frontier.answers.prediction import (
    UNKNOWN,
    extrapolation_factor,
    frontier_factor,
    noise_half_width,
    rolling,
)
from raysweep.frontier.answers.reservation import BENDS
from raysweep.frontier.answers.uncertainty import Uncertainty
from raysweep.frontier.answers.values import Answer
from raysweep.frontier.laws.forms import Form
from raysweep.frontier.laws.laws import CostModel, Surface
from raysweep.frontier.laws.quantities import Quantity, curve_of, quantity
from raysweep.frontier.numerics.intervals import Interval
from raysweep.frontier.points.findings import Kind

SIX = CostModel(log_kappa=np.log(6.0), params_power=1.0, data_power=1.0)
LAW = Surface(E=1.8, log_A=np.log(480.0), alpha=0.35, log_B=np.log(2000.0), beta=0.37, cost=SIX)


@pytest.mark.parametrize("regret", [0.001, 0.02])
def test_the_sizes_at_the_ends_of_the_range_cost_the_regret(regret):
    params, _, loss = (float(value) for value in LAW.optimum(1e21))
    low, high = near_optimal(LAW, 1e21, (params, loss), regret, None)
    assert low < params < high
    for size in (low, high):
        assert float(LAW.loss(size, 1e21 / 6 / size)) == pytest.approx((1 + regret) * loss, rel=1e-9)


def test_a_frontier_alone_has_no_near_optimal_sizes_and_a_flat_loss_has_no_end():
    assert near_optimal(curve_of(LAW), 1e21, (1e9, 2.0), 0.005, None) is None
    flat = Surface(E=1.8, log_A=-60.0, alpha=0.35, log_B=-60.0, beta=0.37, cost=SIX)
    params, _, loss = (float(value) for value in flat.optimum(1e21))
    assert near_optimal(flat, 1e21, (params, loss), 0.005, None) == (0.0, np.inf)


def test_answers_along_a_line_have_gaps_where_there_is_no_interval():
    interval = Interval(low=1.0, high=3.0, level=0.95, method="bca")
    line = band([Answer(value=2.0, interval=interval), Answer(value=5.0, interval=None)])
    np.testing.assert_array_equal(line.value, [2.0, 5.0])
    np.testing.assert_array_equal(line.low, [1.0, np.nan])
    np.testing.assert_array_equal(line.high, [3.0, np.nan])


def draws(count=2000, seed=0):
    generator = np.random.default_rng(seed)
    return Surface(
        E=1.8 + 0.02 * generator.normal(size=count),
        log_A=np.log(480.0) + 0.1 * generator.normal(size=count),
        alpha=np.full(count, 0.35),
        log_B=np.full(count, np.log(2000.0)),
        beta=np.full(count, 0.37),
        cost=SIX,
    )


def uncertainty(**changes):
    parts = {"estimate": LAW, "draws": draws(), "jackknife": None, "degrees_of_freedom": 10**6, "clustered": False}
    return Uncertainty(**{**parts, **changes})


def test_an_interval_is_as_wide_as_the_draws_and_multiplicative_for_coefficients():
    found = uncertainty()
    asymptote = found.interval(quantity(LAW, "E", None), 0.95)
    assert asymptote.width == pytest.approx(2 * 1.96 * 0.02, rel=0.05)
    low, high = found.interval(quantity(LAW, "A", None), 0.95)
    assert low * high == pytest.approx(480.0**2, rel=1e-9)
    assert np.log(high / low) == pytest.approx(2 * 1.96 * 0.1, rel=0.05)
    assert found.answer(quantity(LAW, "A", None), 0.95).value == pytest.approx(480.0)


def test_an_interval_ends_at_the_least_value_that_there_can_be():
    wide = Surface(**{**vars(draws()), "E": 100 * (draws().E - 1.8)})
    found = uncertainty(estimate=Surface(**{**vars(LAW), "E": 0.5}), draws=wide)
    assert found.interval(quantity(LAW, "E", None), 0.95).low == 0.0


def test_there_is_no_interval_without_draws_or_of_an_infinite_value():
    wanted = quantity(LAW, "a", None)
    assert uncertainty(draws=None).interval(wanted, 0.95) is None
    assert uncertainty(draws=draws(49)).interval(wanted, 0.95) is None
    assert uncertainty(draws=draws(50)).interval(wanted, 0.95) is not None
    unreachable = Quantity(value=lambda law: curve_of(law).cost_for(1.0), positive=True)
    answer = uncertainty().answer(unreachable, 0.95)
    assert (answer.value, answer.interval) == (np.inf, None)
    with pytest.raises(FrontierError, match="level = 1"):
        uncertainty().interval(wanted, 1.0)


def test_the_noise_of_gaussian_residuals_holds_the_level():
    residuals = 0.01 * stats.norm.ppf((np.arange(10**4) + 0.5) / 10**4)
    for level in (0.5, 0.95):
        want = 0.01 * stats.norm.ppf(0.5 + level / 2)
        assert noise_half_width(residuals, 5, level) == pytest.approx(want, rel=2e-3)
    tails = 0.01 * stats.t.ppf((np.arange(10**4) + 0.5) / 10**4, 2)
    assert noise_half_width(tails, 5, 0.95) == pytest.approx(0.01 * stats.t.ppf(0.975, 2), rel=2e-3)
    assert noise_half_width(residuals, 7500, 0.95) == pytest.approx(2 * noise_half_width(residuals, 0, 0.95), rel=1e-2)
    assert noise_half_width(np.append(residuals, np.nan), 5, 0.95) == noise_half_width(residuals, 5, 0.95)


def test_intervals_of_larger_runs_are_widened_where_the_law_failed_on_them():
    points = valleys(CHINCHILLA, noise=0.004)
    held = fit(points, bootstraps=0).samples
    assert extrapolation_factor(rolling(held, Form(), 0), Form()) < 1.5
    bent = {**points, "loss": points["loss"] * np.exp(0.02 * (np.log10(points["flops"]) - 18.0) ** 2)}
    assert extrapolation_factor(rolling(fit(bent, bootstraps=0).samples, Form(), 0), Form()) > 2.0
    assert extrapolation_factor(rolling(held.take(np.arange(11)), Form(), 0), Form()) == UNKNOWN


def test_the_lowest_loss_is_as_sure_as_it_was_before_the_larger_runs():
    points = valleys(CHINCHILLA, noise=0.004)
    bent = {**points, "loss": points["loss"] * np.exp(0.02 * (np.log10(points["flops"]) - 18.0) ** 2)}

    def factor(table, contradicted):
        found = fit(table, bootstraps=0, law="additive")
        origins = rolling(found.samples, Form(), 0)
        return frontier_factor(found.surface, found.samples, origins, Form(), contradicted)

    assert 1.0 <= factor(points, False) < 1.3
    assert factor(points, False) < factor(points, True) < UNKNOWN
    assert factor(bent, True) > UNKNOWN
    found = fit(points, bootstraps=0)
    for contradicted, usual in ((False, 1.0), (True, UNKNOWN)):
        assert frontier_factor(found.surface, found.samples, (), Form(), contradicted) == usual


def test_a_prediction_holds_other_runs_at_its_level():
    inside, total = 0, 0
    for seed in range(6):
        found = fit(valleys(CHINCHILLA, noise=0.005, seed=seed), bootstraps=80, seed=seed)
        generator = np.random.default_rng(seed)
        for params, data in ((1e8, 1e10), (1e9, 2e10), (3e9, 1e11)):
            told = found.loss(params, data)
            losses = surface(CHINCHILLA, params, data) * np.exp(0.005 * generator.normal(size=200))
            inside += np.sum((losses >= told.interval.low) & (losses <= told.interval.high))
            total += 200
    assert 0.92 <= inside / total <= 0.99


def test_the_influence_of_a_unit_is_its_shift_in_jackknife_errors():
    alone = Surface(**{**vars(LAW), "beta": np.array([0.36, 0.37, 0.39]), "E": np.full(3, 1.8)})
    found = influences(LAW, alone, np.array([5, 6, 7, 8]), np.array([0, 1, 2, 2]))
    assert [one.rows for one in found] == [(7, 8), (5,), (6,)]
    exponents = np.array([beta / (0.35 + beta) for beta in (0.36, 0.37, 0.39)])
    error = np.sqrt(np.sum((exponents - exponents.mean()) ** 2) * 2 / 3)
    assert found[0].params_exponent == pytest.approx(exponents[2])
    assert found[0].shift == pytest.approx((exponents[2] - 0.37 / 0.72) / error)


def test_no_answer_beyond_the_points_passes_without_the_bend_of_the_law():
    points = valleys(CHINCHILLA, window=4, noise=0.003)
    points["loss"] = points["loss"] * (1 + 0.02 * np.log(points["flops"] / 1e18) ** 2 / 30)
    bent, inside = fit(points, bootstraps=0), fit(valleys(CHINCHILLA, window=4, noise=0.003), bootstraps=0)
    assert bent.status.found(Kind.LAW_BENDS)
    far, near = bent.optimal(flops=1e23), bent.optimal(flops=1e20)
    assert far.caution == far.params.caution == far.data.caution == far.loss.caution == BENDS
    assert "the law bends" in str(far.loss)
    assert near.caution is near.loss.caution is None
    assert bent.loss(1e11, 1e12).caution == BENDS
    assert bent.loss(1e9, 1e10).caution is None
    assert bent.compute_for(float(far.loss)).caution == BENDS
    assert inside.optimal(flops=1e23).caution is None


def test_the_envelope_and_the_minima_are_tested_along_compute():
    points = valleys(CHINCHILLA, budgets=12, sizes=9, window=4, noise=0.001)
    slower = np.maximum(np.log(points["flops"] / 1e20), 0.0)
    bent = points | {"loss": points["loss"] * np.exp(0.02 * slower)}
    for method in ("isoflop", "envelope"):
        assert fit(bent, method=method, bootstraps=0).status.found(Kind.LAW_BENDS)
        assert not fit(points, method=method, bootstraps=0).status.found(Kind.LAW_BENDS)
        assert fit(bent, method=method, bootstraps=0).optimal(flops=1e24).caution == BENDS
