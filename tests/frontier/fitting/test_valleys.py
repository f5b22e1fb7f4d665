"""Budgets, and the valleys fitted at them."""

import numpy as np
import pytest
from samples_for import samples_for
from scipy.optimize import least_squares
from surfaces import CHINCHILLA, optimum, valleys

from raysweep.frontier.fitting.budgets import budgets, distinct_budgets, log_budget_costs
from raysweep.frontier.fitting.costs import fit_cost
from raysweep.frontier.fitting.valleys import fit_valleys


def test_budgets_are_numbered_by_compute_and_too_small_ones_left_out():
    points = valleys(CHINCHILLA, budgets=4, sizes=5)
    order = np.random.default_rng(0).permutation(20)
    samples = samples_for({name: values[order] for name, values in points.items()})
    label = budgets(samples)
    np.testing.assert_array_equal(label, np.repeat(np.arange(4), 5)[order])
    assert distinct_budgets(samples) == 4
    np.testing.assert_allclose(np.exp(log_budget_costs(samples, label)), np.geomspace(1e18, 1e22, 4), rtol=1e-9)
    few = samples_for({name: np.delete(values, [5, 6]) for name, values in points.items()})
    np.testing.assert_array_equal(budgets(few), [*[0] * 5, *[-1] * 3, *[1] * 5, *[2] * 5])
    np.testing.assert_array_equal(budgets(few.take(np.arange(3))), [-1, -1, -1])


def test_budgets_that_scatter_are_found():
    points = valleys(CHINCHILLA, budgets=3, sizes=6)
    points["flops"] = points["flops"] * np.exp(np.random.default_rng(0).uniform(-0.12, 0.12, 18))
    np.testing.assert_array_equal(budgets(samples_for(points)), np.repeat([0, 1, 2], 6))


def test_the_valleys_are_those_of_direct_least_squares():
    samples = samples_for(valleys(CHINCHILLA, budgets=3, sizes=6, noise=0.003))
    label = budgets(samples)
    found = fit_valleys(samples, label, fit_cost(samples), np.ones((1, 18)))
    x = np.log(samples.params) - np.log(samples.params).mean()
    y = np.log(samples.data) - np.log(samples.data).mean()

    def residual(free):
        base, first, second = free[2:].reshape(3, 3).T[:, label]
        law = base + first * np.exp(-np.exp(free[0]) * x) + second * np.exp(-np.exp(free[1]) * y)
        return (samples.loss - law) / samples.loss

    start = np.concatenate([np.log(found.exponents[0]) + 0.05, found.coefficients[0].ravel()])
    want = least_squares(residual, start, xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=20000)
    assert found.objective[0] <= want.cost * (1 + 1e-6)
    assert found.objective[0] == pytest.approx(want.cost, rel=1e-4)
    assert found.gradient_norm[0] < 1e-6


def test_the_minima_of_noise_free_valleys_are_the_optima_of_the_law():
    samples = samples_for(valleys(CHINCHILLA, budgets=4, sizes=8, window=8))
    label = budgets(samples)
    found = fit_valleys(samples, label, fit_cost(samples), np.ones((1, 32)))
    assert found.usable.all()
    params, data, loss = optimum(CHINCHILLA, np.geomspace(1e18, 1e22, 4))
    np.testing.assert_allclose(found.params[0], params, rtol=1e-5)
    np.testing.assert_allclose(found.data[0], data, rtol=1e-5)
    np.testing.assert_allclose(found.loss[0], loss, rtol=1e-7)


def test_the_variance_of_a_minimum_is_that_of_its_replicates():
    points = valleys(CHINCHILLA, budgets=3, sizes=8, window=8)
    samples, noise = samples_for(points), 1e-4
    label, cost = budgets(samples), fit_cost(samples)
    start = np.array([[CHINCHILLA["alpha"], CHINCHILLA["beta"]]])
    variance = fit_valleys(samples, label, cost, np.ones((1, 24)), start=start).variance[0]
    found = []
    for seed in range(300):
        loss = points["loss"] * np.exp(noise * np.random.default_rng(seed).normal(size=24))
        noisy = samples_for({**points, "loss": loss})
        # No steps on the exponents, which the variance takes as known.
        found.append(np.log(fit_valleys(noisy, label, cost, np.ones((1, 24)), start=start, iterations=1).params[0]))
    assert np.all(np.isfinite(found))
    ratio = np.var(found, axis=0) / (variance * noise**2)
    assert np.all(ratio > 0.7)
