"""The laws against finite differences, numerical minimisation and limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from raysweep.frontier.laws.laws import CostModel, Curve, Surface, effective_data

exponents = st.floats(0.05, 1.2)
costs = st.builds(
    CostModel, log_kappa=st.floats(-2.0, 5.0), params_power=st.floats(0.6, 1.5), data_power=st.floats(0.6, 1.5)
)
surfaces = st.builds(
    Surface,
    E=st.floats(0.0, 3.0),
    log_A=st.floats(1.0, 9.0),
    alpha=exponents,
    log_B=st.floats(1.0, 9.0),
    beta=exponents,
    cost=costs,
)
log_costs = st.floats(30.0, 60.0)


def slope(function, at, step=1e-4):
    return float((function(at + step) - function(at - step)) / (2 * step))


@settings(max_examples=60, deadline=None)
@given(surface=surfaces, log_params=st.floats(10, 25), log_data=st.floats(10, 30))
def test_the_terms_of_a_surface_fall_by_their_exponents(surface, log_params, log_data):
    first = np.exp(surface.log_A - surface.alpha * log_params)
    second = np.exp(surface.log_B - surface.beta * log_data)
    assert surface.loss(np.exp(log_params), np.exp(log_data)) == pytest.approx(surface.E + first + second, rel=1e-12)
    by_params = slope(lambda x: surface.loss(np.exp(x), np.exp(log_data)), log_params)
    by_data = slope(lambda y: surface.loss(np.exp(log_params), np.exp(y)), log_data)
    rounding = 1e-11 * (surface.E + first + second) / 1e-4
    assert by_params == pytest.approx(-surface.alpha * first, rel=1e-6, abs=rounding)
    assert by_data == pytest.approx(-surface.beta * second, rel=1e-6, abs=rounding)


@settings(max_examples=60, deadline=None)
@given(surface=surfaces, log_cost=log_costs)
def test_the_optimum_of_a_surface_is_the_lowest_loss_on_the_curve_of_equal_cost(surface, log_cost):
    cost = float(np.exp(log_cost))
    params, data, loss = (float(value) for value in surface.optimum(cost))
    assert surface.cost.cost(params, data) == pytest.approx(cost, rel=1e-9)

    def on_curve(log_params):
        # less the asymptote, which would hide the bend in rounding
        size = np.exp(log_params)
        return float(surface.loss(size, surface.cost.data_for(cost, size))) - surface.E

    found = minimize_scalar(on_curve, bounds=(np.log(params) - 9, np.log(params) + 9), method="bounded")
    assert loss - surface.E <= found.fun * (1 + 1e-9) + 1e-14
    assert loss - surface.E == pytest.approx(found.fun, rel=1e-6, abs=1e-14)


@settings(max_examples=60, deadline=None)
@given(surface=surfaces, log_cost=log_costs)
def test_the_exponents_are_the_slopes_of_the_frontier(surface, log_cost):
    for place, exponent in ((0, surface.params_exponent), (1, surface.data_exponent)):
        got = slope(lambda x, k=place: np.log(surface.optimum(np.exp(x))[k]), log_cost)
        assert got == pytest.approx(float(exponent), rel=1e-6)
    bare = Surface(**{**vars(surface), "E": 0.0})
    got = slope(lambda x: np.log(bare.optimum(np.exp(x))[2]), log_cost)
    assert got == pytest.approx(-float(surface.loss_exponent), rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(surface=surfaces, log_cost=log_costs)
def test_the_curve_of_a_surface_is_its_frontier_and_inverts(surface, log_cost):
    curve, cost = surface.curve(), np.exp(log_cost)
    for ours, whole in zip(curve.optimum(cost), surface.optimum(cost), strict=True):
        assert float(ours) == pytest.approx(float(whole), rel=1e-9)
    bare = Curve(**{**vars(curve), "E": 0.0})
    assert float(bare.cost_for(bare.loss_at(cost))) == pytest.approx(cost, rel=1e-9)


def test_no_cost_reaches_a_loss_at_the_asymptote():
    curve = Curve(E=1.5, log_F=2.0, gamma=0.2, log_n=0.0, params_exponent=0.5, log_d=0.0, data_exponent=0.5)
    np.testing.assert_array_equal(curve.cost_for(np.array([1.5, 1.2])), [np.inf, np.inf])
    assert np.isfinite(curve.cost_for(1.6))


@settings(max_examples=60, deadline=None)
@given(cost=costs, log_params=st.floats(5, 30), log_data=st.floats(5, 30))
def test_the_data_that_a_cost_leaves_cost_what_is_left(cost, log_params, log_data):
    params, data = np.exp(log_params), np.exp(log_data)
    assert float(cost.data_for(cost.cost(params, data), params)) == pytest.approx(data, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(unique=st.floats(1e3, 1e12), repeats=st.floats(0.2, 1e3), epochs=st.floats(1.0, 200.0))
def test_repeated_data_are_worth_less_each_time(unique, repeats, epochs):
    data = unique * epochs
    worth = float(effective_data(data, unique, repeats))
    assert unique * (1 - 1e-12) <= worth <= data * (1 + 1e-12)
    assert worth <= unique * (1 + repeats) * (1 + 1e-12)
    marginal = slope(lambda d: effective_data(d * unique, unique, repeats) / unique, 1.0 + epochs)
    assert marginal == pytest.approx(np.exp(-epochs / repeats), rel=1e-4, abs=1e-9)
    assert float(effective_data(data, unique, np.inf)) == pytest.approx(data, rel=1e-12)
    assert float(effective_data(0.5 * unique, unique, repeats)) == 0.5 * unique


CHINCHILLA = Surface(
    E=1.8172,
    log_A=np.log(482.0),
    alpha=0.3478,
    log_B=np.log(2085.4),
    beta=0.3658,
    cost=CostModel(log_kappa=np.log(6.0), params_power=1.0, data_power=1.0),
    log_repeats=np.log(15.4),
)


def test_with_enough_distinct_data_the_optimum_is_that_of_unlimited_data():
    free, held = CHINCHILLA.optimum(1e21), CHINCHILLA.optimum_with(1e21, 1e15)
    np.testing.assert_allclose(held, free, rtol=0.01)


@pytest.mark.parametrize("unique", [1e8, 1e9, 1e10])
def test_with_little_distinct_data_the_optimum_is_the_lowest_loss_with_repeats(unique):
    params, data, loss = CHINCHILLA.optimum_with(1e21, unique)
    assert float(CHINCHILLA.cost.cost(params, data)) == pytest.approx(1e21, rel=1e-9)

    def on_curve(log_params):
        size = np.exp(log_params)
        return float(CHINCHILLA.loss(size, CHINCHILLA.cost.data_for(1e21, size), unique))

    found = minimize_scalar(on_curve, bounds=(np.log(params) - 2, np.log(params) + 2), method="bounded")
    assert float(loss) == pytest.approx(found.fun, rel=1e-6)
    assert np.log(params) == pytest.approx(found.x, abs=0.011)  # the grid's step is .01


def test_draws_are_selected_together_with_their_costs():
    draws = Surface(
        E=np.arange(4.0),
        log_A=np.arange(4.0) + 10,
        alpha=0.3,
        log_B=1.0,
        beta=0.4,
        cost=CostModel(log_kappa=np.arange(4.0) + 20, params_power=1.0, data_power=1.0),
    )
    some = draws.take(np.array([3, 1]))
    assert some.E.tolist() == [3, 1]
    assert some.log_A.tolist() == [13, 11]
    assert some.alpha.tolist() == [0.3, 0.3]
    assert some.cost.log_kappa.tolist() == [23, 21]
