"""Analyses of papers, on simulated twins of their runs with the published numbers as the truth: each has a call."""

import numpy as np
import pytest
from surfaces import CHINCHILLA, valleys

from raysweep.core.errors import FrontierError
from raysweep.frontier import fit, isoflop_parabolas
from raysweep.frontier.laws.laws import effective_data


def parabolic(along, coefficient, exponent, *, budgets=9, sizes=9, noise=0.002, seed=0):
    """IsoFLOP points with valleys that are parabolas in ln N or ln D about coefficient x C^exponent."""
    generator = np.random.default_rng(seed)
    flops = np.repeat(np.geomspace(6e18, 1e22, budgets), sizes)
    best = coefficient * flops**exponent * np.exp(np.repeat(0.05 * generator.normal(size=budgets), sizes))
    amount = best * np.tile(np.geomspace(1 / 5, 5, sizes), budgets)
    other = flops / 6 / amount
    loss = (1.6 + 60 * flops**-0.1 + 0.03 * np.log(amount / best) ** 2) * np.exp(
        noise * generator.normal(size=best.size)
    )
    params, data = (amount, other) if along == "params" else (other, amount)
    return {"params": params, "data": data, "flops": flops, "loss": loss}


@pytest.mark.parametrize(
    ("along", "coefficient", "exponent"),
    [
        ("data", 0.299, 0.537),  # 2407.21783
        ("params", 0.07, 0.575),  # 2510.02228
        ("data", 3.0, 0.424),
    ],
)
def test_power_laws_through_the_minima_of_parabolas(along, coefficient, exponent):
    found = isoflop_parabolas(parabolic(along, coefficient, exponent), along)
    assert exponent in found.exponent.interval
    assert coefficient in found.coefficient.interval
    assert found.exponent.interval.width < 0.05
    assert found.best == pytest.approx(coefficient * found.flops**exponent, rel=0.25)
    assert found.at(3.8e25).value == pytest.approx(coefficient * 3.8e25**exponent, rel=0.3)
    assert f"{'N' if along == 'params' else 'D'}* = " in str(found)


def test_intervals_of_parabolas_hold_the_exponent_as_often_as_they_say():
    inside = [
        0.537 in isoflop_parabolas(parabolic("data", 0.299, 0.537, seed=k), "data").exponent.interval
        for k in range(200)
    ]
    assert 0.91 <= np.mean(inside) <= 0.99


def test_a_budget_whose_minimum_was_not_run_is_left_out_and_named():
    points = parabolic("data", 0.299, 0.537)
    below = (points["flops"] < 1e19) & (points["data"] > 0.8 * 0.299 * points["flops"] ** 0.537)
    kept = {name: values[~below] for name, values in points.items()}
    found = isoflop_parabolas(kept, "data")
    assert found.flops.size == 8
    assert list(found.left_out.values()) == ["the minimum lies outside the amounts that were run"]
    few = {name: values[points["flops"] > 2e21] for name, values in points.items()}
    with pytest.raises(FrontierError, match="2 compute budgets have 4 model sizes"):
        isoflop_parabolas(few)
    with pytest.raises(FrontierError, match="along = 'tokens'"):
        isoflop_parabolas(points, "tokens")


@pytest.mark.parametrize("drift", [0.0, 0.3])
def test_the_exponent_of_isoflop_configurations_by_valleys_and_by_parabolas(drift):
    """2406.19146 has 15 of them; the optimum drifts away from the middle of the sizes where the grid was guessed."""
    points = valleys(CHINCHILLA, budgets=9, sizes=9, window=4, drift=drift, noise=0.003, seed=3)
    true = CHINCHILLA["beta"] / (CHINCHILLA["alpha"] + CHINCHILLA["beta"])
    assert true in fit(points, method="isoflop", bootstraps=100).interval("a")
    assert isoflop_parabolas(points).exponent.value == pytest.approx(true, abs=0.03)


def test_over_training_is_the_tied_law_in_other_variables():
    """2403.08540: L = E + (a M^eta + b M^-eta) C^-eta with M = D / N and C = 6 N D, so eta = alpha / 2."""
    eta, a, b, E = 0.12, 60.0, 250.0, 1.8
    sizes, ratios = (axis.ravel() for axis in np.meshgrid([1.1e7, 7.9e7, 1.5e8, 4.1e8], [20.0, 40, 80, 160, 320, 640]))
    data = sizes * ratios
    flops = 6 * sizes * data
    noise = np.exp(0.003 * np.random.default_rng(0).normal(size=sizes.size))
    loss = (E + (a * ratios**eta + b * ratios**-eta) * flops**-eta) * noise
    found = fit({"params": sizes, "data": data, "flops": flops, "loss": loss}, law="tied", bootstraps=100)
    assert 2 * eta in found.interval("alpha")
    assert found.optimal(1e20).data.value / found.optimal(1e20).params.value == pytest.approx(
        (b / a) ** (1 / (2 * eta)), rel=0.3
    )
    far = 1.4e9, 640 * 1.4e9  # 300 times the largest compute
    true = E + (a * 640**eta + b * 640**-eta) * (6 * far[0] * far[1]) ** -eta
    assert abs(found.loss(*far).value / true - 1) < 0.00732
    assert true in found.loss(*far).interval


def test_the_worth_of_repeated_data():
    """2305.16264: R* = 15.4, runs of up to 44 epochs."""
    law = {**CHINCHILLA, "repeats": 15.4}
    rows = [(n, u, u * e) for n in (1e8, 4e8, 1.6e9) for u in (1e8, 4e8, 1.6e9) for e in (1, 4, 14, 44)]
    params, unique, data = np.array(rows).T
    seen = effective_data(data, unique, law["repeats"])
    loss = law["E"] + law["A"] * params ** -law["alpha"] + law["B"] * seen ** -law["beta"]
    noise = np.exp(0.004 * np.random.default_rng(1).normal(size=params.size))
    points = {"params": params, "data": data, "flops": 6 * params * data, "loss": loss * noise, "unique_data": unique}
    found = fit(points, law="data_constrained", bootstraps=60)
    assert law["repeats"] in found.interval("repeats", level=0.99)
