"""Comparisons, crossovers, held-out runs, windows and the choice of the next runs."""

from itertools import pairwise

import numpy as np
import pytest
from surfaces import CHINCHILLA, chinchilla, optimum, surface, valleys

from raysweep.core.errors import FrontierError
from raysweep.frontier import (
    compare,
    compare_families,
    crossovers,
    fit,
    fit_families,
    held_out,
    held_out_families,
    next_runs,
    windows,
    windows_families,
)
from raysweep.frontier.points.findings import Kind

STEEPER = {**CHINCHILLA, "alpha": 0.45, "beta": 0.45, "A": 4000.0, "B": 20000.0}


def both():
    first, second = valleys(CHINCHILLA, noise=0.003), valleys(STEEPER, noise=0.003, seed=1)
    points = {name: np.concatenate([first[name], second[name]]) for name in first}
    points["architecture"] = ["slow"] * 40 + ["steep"] * 40
    return points


def test_the_approaches_agree_where_the_law_holds():
    found = compare(valleys(CHINCHILLA, noise=0.003), bootstraps=300)
    assert set(found.fits) == {"parametric", "isoflop", "envelope"}
    truth = CHINCHILLA["beta"] / (CHINCHILLA["alpha"] + CHINCHILLA["beta"])
    for name in ("parametric", "isoflop"):
        assert found.fits[name].params_exponent == pytest.approx(truth, abs=0.02)
    assert not [d for d in found.disagreements if {d.first, d.second} == {"parametric", "isoflop"}]
    assert found.held_out.error < 0.01
    assert found.windows[0].points == 40
    assert "larger runs predicted" in str(found)


def test_a_comparison_by_architecture_names_the_crossover():
    found = compare_families(both(), bootstraps=100)
    assert list(found) == ["slow", "steep"]
    assert [cross.after for cross in found.crossovers] == ["steep"]


def test_each_family_is_checked_as_it_is_alone():
    points = valleys(CHINCHILLA, noise=0.003)
    several, alone = held_out_families(both(), bootstraps=60), held_out(points, bootstraps=60)
    assert list(several) == ["slow", "steep"]
    np.testing.assert_array_equal(several["slow"].predicted, alone.predicted)
    assert windows_families(both(), bootstraps=0)["slow"] == windows(points, bootstraps=0)


@pytest.mark.parametrize(
    ("one", "each"), [(held_out, held_out_families), (windows, windows_families), (compare, compare_families)]
)
def test_a_check_of_one_family_refuses_several_and_names_the_one_that_takes_them(one, each):
    with pytest.raises(FrontierError, match=rf"2 families \(slow, steep\); {each.__name__} takes them all"):
        one(both())
    with pytest.raises(FrontierError, match=rf"no column architecture \(or family\); use {one.__name__}$"):
        each(valleys(CHINCHILLA))


def test_the_approaches_disagree_where_the_law_does_not_hold():
    points = valleys(CHINCHILLA, noise=0.001)
    points["loss"] *= np.exp(0.03 * (np.log10(points["flops"]) - 20.0) ** 2)
    found = compare(points, bootstraps=300, law="additive")
    assert not found.agree
    assert "disagree on" in str(found)
    assert fit(points, bootstraps=60).status.found(Kind.LAW_BENDS)


def test_a_crossover_is_where_the_laws_cross():
    found = crossovers(fit_families(both(), bootstraps=200))
    grid = np.geomspace(1e15, 1e25, 20001)
    gap = optimum(CHINCHILLA, grid)[2] - optimum(STEEPER, grid)[2]
    true = grid[np.flatnonzero(np.sign(gap[:-1]) != np.sign(gap[1:]))]
    assert len(found) == 1
    assert len(true) == 1
    assert (found[0].before, found[0].after) == ("slow", "steep")
    assert found[0].flops.interval.low < true[0] < found[0].flops.interval.high
    assert found[0].share > 0.9


def test_held_out_runs_are_predicted_to_their_noise():
    found = held_out(valleys(CHINCHILLA, noise=0.003), share=0.8, bootstraps=200)
    assert found.error < 0.01
    assert found.coverage >= 0.85
    assert found.measured.size == 8
    with pytest.raises(FrontierError, match="needs 8"):
        held_out(valleys(CHINCHILLA), above=1e30)


@pytest.mark.parametrize(("purpose", "bar"), [("exponents", 0.016), ("prediction", 0.013)])
def test_chinchillas_largest_runs_are_predicted(purpose, bar):
    errors = [held_out(chinchilla(), share=share, purpose=purpose, bootstraps=0).error for share in (0.5, 0.7, 0.9)]
    assert np.exp(np.mean(np.log(errors))) <= bar


def test_windows_show_an_exponent_that_does_not_stay():
    points = valleys(CHINCHILLA, budgets=9, noise=0.001)
    steady = windows(points, bootstraps=0)
    assert steady[0].points == 72
    assert np.ptp([window.params_exponent.value for window in steady]) < 0.02
    points["loss"] *= np.exp(0.05 * (np.log10(points["flops"]) - 20.0) ** 2)
    bent = windows(points, bootstraps=0)
    usable = [window.loss_exponent.value for window in bent if window.usable]
    assert np.ptp(usable) > 0.1


def test_the_next_run_is_the_one_that_tells_most_per_cost():
    points = valleys(CHINCHILLA, window=2, budgets=4, sizes=5, noise=0.005)
    sizes = np.geomspace(1e7, 1e11, 9)
    grid = np.array([(n, d) for n in sizes for d in np.geomspace(1e9, 1e12, 7)])
    candidates = {"params": grid[:, 0], "data": grid[:, 1]}
    found = next_runs(points, candidates, budget=1e22)
    assert 0 < found.spent <= 1e22
    errors = [found.standard_errors[None], *(run.standard_error for run in found.runs)]
    assert all(later <= earlier for earlier, later in pairwise(errors))
    assert errors[-1] < 0.6 * errors[0]
    with pytest.raises(FrontierError, match="no candidate costs"):
        next_runs(points, candidates, budget=1.0)


def test_the_promised_standard_error_is_what_comes():
    points = valleys(CHINCHILLA, window=2, budgets=4, sizes=5)
    grid = np.array([(n, d) for n in np.geomspace(1e8, 1e11, 6) for d in np.geomspace(1e9, 1e12, 6)])
    noisy = {**points, "loss": points["loss"] * np.exp(0.005 * np.random.default_rng(9).normal(size=20))}
    plan = next_runs(noisy, {"params": grid[:, 0], "data": grid[:, 1]}, budget=1e22, loss_delta=0.1)
    added = np.array([(run.params, run.data) for run in plan.runs])
    found = []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        params, data = (np.concatenate([points[name], added[:, k]]) for k, name in enumerate(("params", "data")))
        loss = surface(CHINCHILLA, params, data) * np.exp(0.005 * generator.normal(size=params.size))
        table = {"params": params, "data": data, "flops": 6 * params * data, "loss": loss}
        found.append(fit(table, bootstraps=0, loss_delta=0.1).params_exponent)
    assert np.std(found) == pytest.approx(plan.runs[-1].standard_error, rel=0.5)


def test_next_runs_choose_among_architectures():
    grid = np.array([(n, d) for n in (1e8, 1e9) for d in (1e10, 1e11)])
    candidates = {"params": np.tile(grid[:, 0], 2), "data": np.tile(grid[:, 1], 2)}
    with pytest.raises(FrontierError, match="no column architecture"):
        next_runs(both(), candidates, budget=1e22)
    candidates["architecture"] = ["slow"] * 4 + ["steep"] * 4
    found = next_runs(both(), candidates, budget=1e22, target="optimal_params", flops=1e24)
    assert set(found.standard_errors) == {"slow", "steep"}
    assert {run.architecture for run in found.runs} <= {"slow", "steep"}


def test_points_of_one_trajectory_cost_as_much_as_the_dearest_of_them():
    points = valleys(CHINCHILLA, window=2, budgets=4, sizes=5, noise=0.005)
    sizes, data = np.geomspace(1e8, 1e10, 4), np.geomspace(1e9, 1e11, 5)
    grid = np.array([(n, d, k) for k, n in enumerate(sizes) for d in data])
    alone = {"params": grid[:, 0], "data": grid[:, 1], "flops": 6 * grid[:, 0] * grid[:, 1]}
    budget = 1.2 * float(alone["flops"].max())
    runs = next_runs(points, {**alone, "trajectory": grid[:, 2]}, budget).runs
    assert len({run.params for run in runs}) == len(runs)  # a run is chosen once, to one of its ends
    for run in runs:
        assert (run.params, run.data) == tuple(grid[run.row, :2])
        assert run.cost == pytest.approx(6 * run.params * run.data)
    assert sum(run.cost for run in runs) <= budget
    one = {name: values[-5:] for name, values in alone.items()}  # of the largest size
    dearest = float(one["flops"].max())
    together = next_runs(points, {**one, "trajectory": [0] * 5}, dearest)
    apart = next_runs(points, one, dearest)
    assert [run.cost for run in together.runs] == [pytest.approx(dearest)]
    assert together.runs[-1].standard_error < apart.runs[-1].standard_error
