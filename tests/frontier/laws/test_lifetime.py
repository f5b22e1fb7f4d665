"""The cheapest model over its life: training and inference."""

from dataclasses import replace

import numpy as np
import pytest

from raysweep.frontier.laws.extension import Extension
from raysweep.frontier.laws.laws import CostModel, Surface
from raysweep.frontier.laws.lifetime import AtomStepCost, Usage, best_within, cheapest

SIX = CostModel(log_kappa=np.log(6.0), params_power=1.0, data_power=1.0)
TWO_N = AtomStepCost(log_scale=np.log(2.0), power=1.0)
PLAIN = Surface(E=1.8, log_A=np.log(480.0), alpha=0.35, log_B=np.log(2000.0), beta=0.37, cost=SIX)
MEASURED = CostModel(log_kappa=np.log(40.0), params_power=0.8, data_power=1.02)
LAWS = {
    "additive": PLAIN,
    "measured cost": replace(PLAIN, cost=MEASURED),
    "coupled": replace(PLAIN, extension=Extension(log_coupling=np.log(0.6))),
    "broken in D": replace(
        PLAIN, extension=Extension(data_bend=0.2, log_data_break=np.log(1e10), log_reference=np.log(1e21))
    ),
    "broken in N": replace(
        PLAIN, extension=Extension(params_bend=-0.1, log_params_break=np.log(3e8), log_reference=np.log(1e21))
    ),
    "offset": replace(
        PLAIN, extension=Extension(data_bend=-0.37, log_data_break=np.log(1e9), log_reference=np.log(1e21))
    ),
    "repeats": replace(PLAIN, log_repeats=np.log(15.0)),
}
UNIQUE = {"repeats": 2e10}


@pytest.mark.parametrize("label", LAWS)
@pytest.mark.parametrize("steps", [0.0, 1e12, 1e15])
def test_no_model_on_a_fine_grid_is_cheaper_than_the_cheapest(label, steps):
    law, unique = LAWS[label], UNIQUE.get(label)
    usage, loss = Usage(steps=steps, step=TWO_N), 2.6
    params, data, total = (float(value) for value in cheapest(law, usage, loss, unique))
    assert float(law.loss(params, data, unique)) == pytest.approx(loss, rel=1e-9)
    assert total == pytest.approx(float(law.cost.cost(params, data) + usage.cost(params)), rel=1e-12)
    grid = np.exp(np.log(params) + np.linspace(-6, 6, 4001))
    with np.errstate(all="ignore"):
        low, high = np.full(grid.shape, np.log(1e-3)), np.full(grid.shape, np.log(1e60))
        for _ in range(200):
            middle = 0.5 * (low + high)
            above = law.loss(grid, np.exp(middle), unique) > loss
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        reached = law.loss(grid, np.exp(high), unique) <= loss
        costs = np.where(reached, law.cost.cost(grid, np.exp(high)) + usage.cost(grid), np.inf)
    assert total <= costs.min() * (1 + 1e-9)
    assert total == pytest.approx(costs.min(), rel=1e-4)


@pytest.mark.parametrize("label", [name for name in LAWS if name != "repeats"])
def test_without_inference_it_is_the_compute_optimal_model(label):
    law, none = LAWS[label], Usage(steps=0.0, step=TWO_N)
    cost = float(law.cost_for(2.6))
    for found in (cheapest(law, none, 2.6), best_within(law, none, cost)):
        np.testing.assert_allclose(found[:2], law.optimum(cost)[:2], rtol=1e-6)
    assert float(cheapest(law, none, 2.6)[2]) == pytest.approx(cost, rel=1e-9)
    assert float(best_within(law, none, cost)[2]) == pytest.approx(2.6, rel=1e-9)


def test_with_repeated_data_it_is_the_optimum_of_the_search_without_inference():
    law, none = LAWS["repeats"], Usage(steps=0.0, step=TWO_N)
    np.testing.assert_allclose(best_within(law, none, 1e22, 2e10), law.optimum_with(1e22, 2e10), rtol=0.02)


@pytest.mark.parametrize("label", LAWS)
def test_the_best_model_of_a_total_cost_is_the_cheapest_of_its_loss(label):
    law, unique, usage = LAWS[label], UNIQUE.get(label), Usage(steps=1e13, step=replace(TWO_N, floor=1e7))
    params, data, total = cheapest(law, usage, 2.5, unique)
    np.testing.assert_allclose(best_within(law, usage, total, unique), (params, data, 2.5), rtol=1e-6)


def test_more_inference_wants_a_smaller_model_on_more_data_down_to_the_smallest_that_reaches_the_loss():
    steps = np.geomspace(1e6, 1e24, 19)
    found = np.array([cheapest(PLAIN, Usage(steps=float(m), step=TWO_N), 2.6) for m in steps])
    assert (np.diff(found[:, 0]) < 0).all()
    assert (np.diff(found[:, 1]) > 0).all()
    assert (np.diff(found[:, 2]) > 0).all()
    smallest = (480.0 / (2.6 - 1.8)) ** (1 / 0.35)  # with unlimited data
    assert found[-1, 0] == pytest.approx(smallest, rel=0.01)
    assert found[0, 0] == pytest.approx(float(PLAIN.optimum(PLAIN.cost_for(2.6))[0]), rel=1e-3)


def test_it_fulfils_the_condition_of_stationarity():
    # 6 D (1 + 2 M / (6 D)) beta b = 6 D alpha a: eq. 6 of 2401.00448 in other words.
    usage = Usage(steps=3e12, step=TWO_N)
    params, data, _ = (float(value) for value in cheapest(PLAIN, usage, 2.4))
    a, b = 480.0 * params**-0.35, 2000.0 * data**-0.37
    assert 0.35 * a == pytest.approx(0.37 * b * (1 + 2 * 3e12 / (6 * data)), rel=1e-9)


def test_a_loss_below_the_asymptote_costs_infinitely_much_and_a_budget_below_the_floor_buys_nothing():
    draws = replace(PLAIN, E=np.array([1.8, 2.7]), log_A=np.full(2, np.log(480.0)), alpha=np.full(2, 0.35),
                    log_B=np.full(2, np.log(2000.0)), beta=np.full(2, 0.37))  # fmt: skip
    usage = Usage(steps=1e12, step=replace(TWO_N, floor=1e6))
    params, data, total = cheapest(draws, usage, 2.6)
    assert np.isfinite([params[0], data[0], total[0]]).all()
    assert np.isinf([params[1], data[1], total[1]]).all()
    np.testing.assert_allclose([params[0], data[0], total[0]], cheapest(PLAIN, usage, 2.6))
    params, data, loss = best_within(PLAIN, usage, np.array([1e17, 1e18, 1e20]))
    assert np.isnan(params[:2]).all()
    assert np.isinf(loss[:2]).all()
    assert np.isfinite([params[2], data[2], loss[2]]).all()
