"""The quantities that a fit answers for, against closed forms."""

import numpy as np
import pytest

from raysweep.core.errors import FrontierError
from raysweep.frontier.laws.laws import CostModel, Surface
from raysweep.frontier.laws.quantities import curve_of, quantity

SIX = CostModel(log_kappa=np.log(6.0), params_power=1.0, data_power=1.0)
LAW = Surface(E=1.8, log_A=np.log(480.0), alpha=0.35, log_B=np.log(2000.0), beta=0.37, cost=SIX, log_repeats=np.log(15))
CLOSED = {
    "a": 0.37 / 0.72,
    "params_exponent": 0.37 / 0.72,
    "b": 0.35 / 0.72,
    "data_exponent": 0.35 / 0.72,
    "gamma": 0.35 * 0.37 / 0.72,
    "loss_exponent": 0.35 * 0.37 / 0.72,
    "E": 1.8,
    "A": 480.0,
    "alpha": 0.35,
    "B": 2000.0,
    "beta": 0.37,
    "repeats": 15.0,
}


@pytest.mark.parametrize("name", CLOSED)
def test_a_quantity_has_its_closed_form(name):
    assert float(quantity(LAW, name, None).value(LAW)) == pytest.approx(CLOSED[name], rel=1e-12)


@pytest.mark.parametrize("cost", [1e18, 1e24])
def test_the_optimum_has_the_closed_form_of_6nd(cost):
    scale = (0.35 * 480.0 / (0.37 * 2000.0)) ** (1 / 0.72)
    params = scale * (cost / 6) ** (0.37 / 0.72)
    data = cost / 6 / params
    loss = 1.8 + 480.0 * params**-0.35 + 2000.0 * data**-0.37
    for name, want in (("optimal_params", params), ("optimal", params), ("optimal_data", data), ("optimal_loss", loss)):
        assert float(quantity(LAW, name, cost).value(LAW)) == pytest.approx(want, rel=1e-9)


def test_a_frontier_has_its_own_parameters_and_the_same_exponents():
    curve = curve_of(LAW)
    assert curve_of(curve) is curve
    for name in ("a", "b", "gamma", "E"):
        assert float(quantity(curve, name, None).value(curve)) == pytest.approx(CLOSED[name], rel=1e-12)
    excess = float(quantity(curve, "F", None).value(curve)) * 1e20 ** -CLOSED["gamma"]
    assert excess == pytest.approx(float(LAW.optimum(1e20)[2]) - 1.8, rel=1e-9)


def test_coefficients_and_optima_have_intervals_on_the_logarithm_and_exponents_none_below_0():
    assert all(quantity(LAW, name, 1e20).positive for name in ("A", "B", "repeats", "optimal_loss"))
    assert all(quantity(LAW, name, None).least == 0.0 for name in ("a", "b", "gamma", "E", "alpha", "beta"))


def test_unknown_names_and_absent_computes_are_refused():
    with pytest.raises(FrontierError, match=r"no quantity 'kappa' in this fit; it has params_exponent, .*optimal_loss"):
        quantity(LAW, "kappa", None)
    with pytest.raises(FrontierError, match=r"needs flops="):
        quantity(LAW, "optimal", None)
    with pytest.raises(FrontierError, match="no quantity 'alpha'"):
        quantity(curve_of(LAW), "alpha", None)
