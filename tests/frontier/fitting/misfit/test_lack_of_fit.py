"""Lack of fit: bends are found with size, sign and place; noise of points and of runs is not taken for a bend."""

import numpy as np
import pytest
from surfaces import CHINCHILLA, surface, valleys

from raysweep.frontier import fit, from_json, to_json
from raysweep.frontier.fitting.misfit.curvature import mean_curvature
from raysweep.frontier.fitting.misfit.directions import QUADRATIC, Axes, at_end, directions
from raysweep.frontier.fitting.misfit.lack_of_fit import lack_of_fit
from raysweep.frontier.fitting.misfit.memory import RunOrder
from raysweep.frontier.fitting.misfit.scan import scan
from raysweep.frontier.points.findings import Kind


def coupled(share, params, data):
    """The law with one more exponent between its terms (Kaplan et al. 2020)."""
    first = CHINCHILLA["A"] * params ** -CHINCHILLA["alpha"]
    second = CHINCHILLA["B"] * data ** -CHINCHILLA["beta"]
    return CHINCHILLA["E"] + (first ** (1 / share) + second ** (1 / share)) ** share


def noisy(points, noise=0.005, seed=0):
    errors = noise * np.random.default_rng(seed).normal(size=points["loss"].size)
    return points | {"loss": points["loss"] * np.exp(errors)}


def axes_of(points, slope=-0.1):
    slopes = np.full(points["params"].size, slope)
    return Axes(
        params=points["params"], data=points["data"], cost=points["flops"], params_slope=slopes, data_slope=slopes
    )


@pytest.mark.parametrize("share", [0.5, 2.0])
def test_a_coupled_law_bends_away_from_the_additive_one(share):
    points = valleys(CHINCHILLA, window=4)
    found = fit(
        noisy(points | {"loss": coupled(share, points["params"], points["data"])}), bootstraps=0, law="additive"
    )
    assert found.status.kind is Kind.LAW_BENDS
    assert not found.status.ok
    assert found.lack_of_fit.p_value < 0.001
    assert 0.005 < found.lack_of_fit.size < 0.05
    assert "the largest compute" in found.status.sentence


def test_the_finding_states_size_sign_and_place():
    points = valleys(CHINCHILLA, window=4)
    large = points["params"] > np.quantile(points["params"], 0.8)
    points["loss"] *= np.where(large, 1.08, 1.0)
    found = fit(noisy(points), bootstraps=0, law="additive")
    assert found.status.found(Kind.LAW_BENDS)
    first = found.lack_of_fit.departures[0]
    assert first.place == "the largest N"
    assert 0.005 < first.size < 0.08
    assert f"at the largest N lie {np.expm1(first.size):.1%} above the law" in found.status.sentence


def test_the_test_of_the_residuals_reads_back_from_json():
    points = valleys(CHINCHILLA, window=4)
    found = fit(noisy(points | {"loss": coupled(2.0, points["params"], points["data"])}), bootstraps=0)
    assert from_json(to_json(found)).lack_of_fit == found.lack_of_fit


def test_a_true_law_seldom_bends():
    alarms = [fit(noisy(valleys(CHINCHILLA, window=4), seed=seed), bootstraps=0) for seed in range(12)]
    assert sum(found.status.found(Kind.LAW_BENDS) for found in alarms) <= 2
    exact = fit(valleys(CHINCHILLA), bootstraps=0)
    assert exact.lack_of_fit is None
    assert exact.status.ok


def test_a_bend_below_a_thousandth_of_the_loss_is_a_note():
    points = valleys(CHINCHILLA, window=4)
    small = np.log(points["data"])
    bent = points["loss"] * (1 + 0.0004 * ((small - small.mean()) / small.std()) ** 2)
    found = fit(noisy(points | {"loss": bent}, 0.0001), bootstraps=0)
    assert found.status.found(Kind.LAW_BENDS)
    assert found.status.ok


def test_one_failed_run_is_no_bend():
    points = noisy(valleys(CHINCHILLA, window=4))
    points["loss"][17] *= 1.5
    assert not fit(points, bootstraps=0).status.found(Kind.LAW_BENDS)


def test_the_p_value_of_a_scan_is_uniform_under_gaussian_noise():
    points = valleys(CHINCHILLA, window=4)
    shapes = directions(axes_of(points))
    tangent = np.stack([np.ones(40), np.log(points["params"]), np.log(points["data"])], axis=1)
    generator = np.random.default_rng(3)
    found = np.array([scan(generator.normal(size=40), tangent, shapes).p_value for _ in range(200)])
    assert 0.01 <= np.mean(found < 0.05) <= 0.1
    assert abs(np.mean(found) - 0.5) < 0.07


def test_a_scan_needs_degrees_of_freedom():
    shapes = np.random.default_rng(0).normal(size=(6, 4))
    assert scan(np.ones(6), shapes[:, :3], shapes) is None


def test_the_quadratic_shapes_come_first_and_the_ends_are_marked():
    points = valleys(CHINCHILLA, window=4)
    shapes = directions(axes_of(points))
    x, y = (np.log(points[name]) for name in ("params", "data"))
    curved = np.stack([((x - x.mean()) / x.std()) ** 2, ((y - y.mean()) / y.std()) ** 2], axis=1)
    assert shapes[:, [0, QUADRATIC - 1]] == pytest.approx(curved)
    assert at_end(np.repeat([1.0, 2.0, 3.0], 4)).tolist() == [False] * 8 + [True] * 4
    assert at_end(np.arange(40.0)).sum() == 8


def test_whitened_runs_are_uncorrelated_and_lose_their_constants():
    unit, data = np.repeat(np.arange(3), 6), np.tile(5e4 * 2.0 ** np.arange(6), 3)
    runs = RunOrder(unit, data)
    gap = np.abs(np.log2(data[:6, None] / data[None, :6]))
    factor = np.linalg.cholesky(0.8**gap)
    white = runs.whiten(np.kron(np.eye(3), factor), 0.8)
    projector = white @ white.T
    assert projector @ projector == pytest.approx(projector, abs=1e-12)
    assert np.trace(projector) == pytest.approx(15)
    assert runs.whiten(np.repeat([1.0, 5.0, -2.0], 6), 0.8) == pytest.approx(np.zeros(18))


def swept(generator, bend=0.0, sizes=4):
    """Points of runs whose deviations from the law are remembered along them, as a sweep of force fields has them."""
    params = np.repeat(np.geomspace(1e3, 5e4, sizes), 7)
    unit, data = np.repeat(np.arange(sizes), 7), np.tile(4.8e4 * 2.0 ** np.arange(7), sizes)
    gap = np.abs(np.arange(7)[:, None] - np.arange(7))
    factor = np.linalg.cholesky(0.78**gap)
    errors = (generator.normal(size=(sizes, 7)) @ factor.T).ravel() * 0.03 * (params / 7e3) ** -0.25
    start = np.log(1 + bend * (data / 4.8e4) ** -1.0)
    loss = (0.02 + 4 * params**-0.4 + 60 * data**-0.5) * np.exp(errors - start)
    return {"params": params, "data": data, "flops": 50 * params * data, "loss": loss, "trajectory": unit.astype(str)}


def test_remembered_noise_of_runs_is_not_taken_for_a_bend():
    alarms = 0
    for seed in range(12):
        points = swept(np.random.default_rng([seed, 1]))
        alarms += fit(points, bootstraps=0, window="all").status.found(Kind.LAW_BENDS)
    assert alarms <= 2


def test_a_bend_that_all_runs_share_is_found():
    found = [
        fit(swept(np.random.default_rng([seed, 2]), bend=1.2), bootstraps=0, window="all", law="additive")
        for seed in range(6)
    ]
    assert sum(one.status.found(Kind.LAW_BENDS) for one in found) >= 5
    assert {one.lack_of_fit.test for one in found} <= {"shapes", "transition", "curvature"}
    assert all(one.lack_of_fit.transition_ends < 5e5 for one in found if one.status.found(Kind.LAW_BENDS))


def test_replicates_measure_the_noise_that_the_law_has_to_explain():
    sizes = np.repeat(np.geomspace(1e7, 1e9, 5), 4)
    data = np.repeat([1e10, 3e10], 20)[: 2 * sizes.size]
    params = np.tile(sizes, 2)
    generator = np.random.default_rng(1)
    bump = np.where((params > 2e7) & (params < 5e7), 1.02, 1.0)
    residuals = 0.002 * generator.normal(size=40)
    points = {"params": params, "data": data, "flops": 6 * params * data}
    tangent = np.stack([np.ones(40), np.log(params), np.log(data)], axis=1)
    clean = lack_of_fit(residuals, tangent, axes_of(points), np.arange(40))
    bent = lack_of_fit(residuals + np.log(bump), tangent, axes_of(points), np.arange(40))
    assert clean.p_value > 0.05
    assert bent.p_value < 1e-4
    assert bent.test == "replicates"


def test_a_law_of_one_term_is_tested_as_well():
    data = np.geomspace(1e9, 1e12, 25)
    points = {"params": np.full(25, 1e8), "data": data, "flops": 6e8 * data, "loss": surface(CHINCHILLA, 1e8, data)}
    late = np.maximum(np.log(data / 3e10), 0.0)
    found = fit(noisy(points | {"loss": points["loss"] * np.exp(0.03 * late)}), law="data", bootstraps=0)
    assert found.status.found(Kind.LAW_BENDS)


def test_runs_that_all_steepen_are_found_without_a_window():
    unit, data = np.repeat(np.arange(4), 5), np.tile(np.geomspace(3e4, 2.4e5, 5), 4)
    y = np.log(data / np.sqrt(3e4 * 2.4e5))
    own = np.random.default_rng(0).normal(size=4)[unit] * 0.05
    steeper = -0.04 * (1 + 0.2 * np.arange(4))[unit] * y**2 + own * (1 + y)
    p_value, statistic, degrees, size = mean_curvature(steeper, unit, data)
    assert p_value < 0.01
    assert statistic > 30
    assert degrees == 3
    assert size == pytest.approx(0.052 * (np.log(8) / 2) ** 2)
    assert mean_curvature(own * (1 + y), unit, data)[3] == pytest.approx(0.0, abs=1e-12)
    assert mean_curvature(steeper[:15], unit[:15], data[:15]) is None
