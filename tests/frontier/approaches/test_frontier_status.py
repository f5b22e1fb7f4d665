"""No silent failure: a typed status for everything that can be wrong with points, and the reason of every exclusion."""

import math

import numpy as np
import pytest
from surfaces import CHINCHILLA, optimum, surface, valleys

from raysweep.core.errors import FrontierError
from raysweep.frontier import checklist, fit, to_json
from raysweep.frontier.checks.compare import crossovers
from raysweep.frontier.points.findings import Kind, Severity


def with_rows(points, **more):
    return {name: np.concatenate([values, more.get(name, values[:0])]) for name, values in points.items()}


def taken(points, rows):
    return {name: values[rows] for name, values in points.items()}


def test_a_clean_fit_is_ok():
    found = fit(valleys(CHINCHILLA), bootstraps=0)
    assert found.status.kind is Kind.OK
    assert found.status.ok
    assert found.excluded == ()


def test_nan_and_infinite_losses_are_left_out_with_their_reason():
    points = valleys(CHINCHILLA)
    points["loss"][[3, 7]] = math.nan, math.inf
    found = fit(points, bootstraps=0)
    assert found.status.kind is Kind.NOT_FINITE
    assert [(item.row, item.kind) for item in found.excluded] == [(3, Kind.NOT_FINITE), (7, Kind.NOT_FINITE)]
    assert found.law.alpha == pytest.approx(CHINCHILLA["alpha"], rel=1e-6)


def test_values_that_are_not_positive_are_left_out():
    points = valleys(CHINCHILLA)
    points["loss"][0], points["params"][1], points["flops"][2] = -1.0, 0.0, -5.0
    found = fit(points, bootstraps=0)
    assert found.status.kind is Kind.NOT_POSITIVE
    assert [item.row for item in found.excluded] == [0, 1, 2]


def test_an_overflowed_integer_is_told_from_other_negative_values():
    points = valleys(CHINCHILLA)
    flops = np.where(points["flops"] > 9e18, -(2.0**62), points["flops"]).astype(np.int64)
    found = fit({**points, "flops": flops}, bootstraps=0)
    assert found.status.found(Kind.INTEGER_OVERFLOW)
    assert len(found.excluded) == int((points["flops"] > 9e18).sum())


def test_totals_beyond_64_bits_are_kept_as_floats_and_said():
    points = valleys(CHINCHILLA)
    found = fit({**points, "flops": [int(value) for value in points["flops"]]}, bootstraps=0)
    assert found.status.ok
    assert found.status.found(Kind.TOTALS_OVER_INT64)
    assert found.samples.cost.max() == pytest.approx(1e22, rel=1e-9)


def test_duplicates_are_dropped_and_said():
    points = valleys(CHINCHILLA)
    found = fit(with_rows(points, **taken(points, np.arange(5))), bootstraps=0)
    assert found.status.kind is Kind.DUPLICATES
    assert [item.row for item in found.excluded] == [40, 41, 42, 43, 44]


def test_the_starting_plateau_stays_out_of_the_fit():
    points = valleys(CHINCHILLA)
    points["trivial_loss"] = np.full(40, 10.0)
    points["loss"][4] = 9.5
    found = fit(points, bootstraps=0)
    assert [(item.row, item.kind) for item in found.excluded] == [(4, Kind.ON_PLATEAU)]
    assert "starting plateau" in found.excluded[0].reason
    assert found.law.alpha == pytest.approx(CHINCHILLA["alpha"], rel=1e-6)


def test_excluded_rows_are_listed():
    found = fit(valleys(CHINCHILLA), exclude=[2, 5], bootstraps=0)
    assert [(item.row, item.kind) for item in found.excluded] == [
        (2, Kind.EXCLUDED_BY_USER),
        (5, Kind.EXCLUDED_BY_USER),
    ]
    flags = np.zeros(40, dtype=bool)
    flags[[2, 5]] = True
    assert fit(valleys(CHINCHILLA), exclude=flags, bootstraps=0).excluded == found.excluded


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_two_flop_conventions_in_one_table_are_found(share):
    points = valleys(CHINCHILLA)
    mixed = np.random.default_rng(0).random(40) < share
    points["flops"] = np.where(mixed, points["flops"] / 3.0, points["flops"])
    assert fit(points, bootstraps=0).status.found(Kind.MIXED_FLOP_CONVENTIONS)


def test_one_convention_with_a_cost_of_its_own_is_not_taken_for_two():
    points = valleys(CHINCHILLA)
    points["flops"] = 3.0 * 74.36 * points["params"] ** 1.1 * points["data"]
    assert fit(points, bootstraps=0).status.ok


@pytest.mark.parametrize(
    ("rows", "kind"),
    [(np.arange(5), Kind.TOO_FEW_POINTS), (np.arange(0), Kind.TOO_FEW_POINTS)],
)
def test_too_few_points_give_a_status_and_no_number(rows, kind):
    points = valleys(CHINCHILLA)
    points["loss"][np.setdiff1d(np.arange(40), rows)] = math.nan
    found = fit(points, bootstraps=0)
    assert found.status.kind is kind
    assert found.status.severity is Severity.FATAL
    with pytest.raises(FrontierError, match="points are left"):
        _ = found.params_exponent


def test_equal_losses_have_no_law():
    found = fit({**valleys(CHINCHILLA), "loss": np.full(40, 2.5)}, bootstraps=0)
    assert found.status.kind is Kind.LOSSES_EQUAL
    assert not found.status.usable


def ladder(sizes, amounts):
    params, data = (grid.ravel() for grid in np.meshgrid(sizes, amounts))
    return {"params": params, "data": data, "flops": 6 * params * data, "loss": surface(CHINCHILLA, params, data)}


def timed(device):
    points = ladder(np.geomspace(1e6, 1e9, 6), np.geomspace(1e9, 1e12, 6))
    return points | {"seconds": points["flops"] / 1e14, "device": [device] * 36}


def test_seconds_of_two_devices_are_refused_and_their_flops_are_not():
    points = timed("NVIDIA H100")
    points["device"][:10] = ["cpu (EPYC)"] * 10
    found = fit(points, cost="seconds", bootstraps=0)
    assert found.status.kind is Kind.MIXED_DEVICES
    assert not found.status.usable
    assert "26 points on NVIDIA H100, 10 points on cpu (EPYC)" in found.status.sentence
    assert fit(points, bootstraps=0).law.alpha == pytest.approx(CHINCHILLA["alpha"], rel=1e-5)
    one = fit(points, cost="seconds", bootstraps=0, exclude=range(10))
    assert one.status.usable
    assert one.samples.device == "NVIDIA H100"


def test_architectures_that_were_timed_on_different_devices_are_not_compared_by_seconds():
    fits = {name: fit(timed(name), cost="seconds", bootstraps=0) for name in ("A100", "H100")}
    with pytest.raises(FrontierError, match=r"seconds of different devices \(A100, H100\)"):
        crossovers(fits)


def test_one_size_only_is_refused_and_its_data_law_is_not():
    points = ladder([1e8], np.geomspace(1e9, 1e12, 9))
    assert fit(points, bootstraps=0).status.kind is Kind.ONE_SIZE_ONLY
    alone = fit(points, law="data", bootstraps=0)
    assert alone.law.beta == pytest.approx(CHINCHILLA["beta"], rel=1e-6)
    with pytest.raises(FrontierError, match="no optimum"):
        alone.optimal(flops=1e21)


def test_two_sizes_cannot_tell_the_asymptote_from_the_exponent():
    points = ladder([1e8, 1e9], np.geomspace(1e9, 1e12, 9))
    assert fit(points, bootstraps=0).status.kind is Kind.TWO_SIZES_ONLY
    held = fit(points, asymptote=CHINCHILLA["E"], bootstraps=0)
    assert held.law.alpha == pytest.approx(CHINCHILLA["alpha"], rel=1e-5)


def test_size_and_data_in_lockstep_are_refused():
    params = np.geomspace(1e7, 1e10, 12)
    points = {"params": params, "data": 20 * params, "flops": 120 * params**2}
    points["loss"] = surface(CHINCHILLA, params, 20 * params)
    assert fit(points, bootstraps=0).status.kind is Kind.DEPENDENT_DESIGN


def test_an_asymptote_at_its_bound_is_said():
    zero = {**CHINCHILLA, "E": 0.0}
    points = valleys(zero, noise=0.01, seed=3)
    points["loss"] *= (points["flops"] / 1e20) ** -0.02
    found = fit(points, bootstraps=0)
    assert found.status.kind is Kind.BOUND_ACTIVE
    assert "E is at its bound 0" in found.status.sentence


def test_an_asymptote_that_the_points_do_not_show_is_said():
    points = valleys(CHINCHILLA, budgets=3, lowest=1e18, highest=4e18, window=3, noise=0.02, seed=5)
    found = fit(points, bootstraps=0)
    assert found.law.E > 0
    assert found.status.kind is Kind.ASYMPTOTE_NOT_IDENTIFIED
    assert fit(valleys(CHINCHILLA, noise=0.003), bootstraps=0).status.ok


def test_stopping_short_of_the_optimum_is_said():
    found = fit(valleys(CHINCHILLA, noise=0.01), bootstraps=0, iterations=1)
    assert found.status.found(Kind.NOT_CONVERGED)
    assert found.gradient_norm > 1e-6


def test_fewer_than_three_budgets_have_no_isoflop_fit():
    found = fit(valleys(CHINCHILLA, budgets=2), method="isoflop", bootstraps=0)
    assert found.status.kind is Kind.TOO_FEW_BUDGETS
    assert not found.status.usable


def test_a_valley_that_bends_downward_is_said():
    points = valleys(CHINCHILLA, budgets=4)
    budget = points["flops"] > 9e21
    centre = np.log(points["params"][budget]).mean()
    points["loss"][budget] = 2.5 - 0.01 * (np.log(points["params"][budget]) - centre) ** 2
    found = fit(points, method="isoflop", bootstraps=0)
    assert found.status.found(Kind.NEGATIVE_CURVATURE)
    assert "1e+22" in found.status.sentence


def test_a_minimum_outside_the_window_is_said():
    points = valleys(CHINCHILLA, budgets=4, sizes=10, window=8)
    best = optimum(CHINCHILLA, 1e22)[0]
    one_sided = (points["flops"] < 9e21) | (points["params"] > 1.5 * best)
    found = fit(taken(points, one_sided), method="isoflop", bootstraps=0)
    assert found.status.kind is Kind.MINIMUM_OUTSIDE_WINDOW
    assert found.optimal(flops=1e22).params.value == pytest.approx(best, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"method": "guess"}, "parametric, isoflop, envelope"),
        ({"loss_delta": -1.0}, "positive"),
        ({"asymptote": "none"}, "free"),
        ({"law": "cubic"}, "additive"),
        ({"exclude": [99]}, r"0\.\.39"),
        ({"cost": "seconds"}, "no such column"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused_with_the_remedy(arguments, words):
    with pytest.raises(FrontierError, match=words):
        fit(valleys(CHINCHILLA), bootstraps=0, **arguments)


def test_a_diverged_run_with_a_finite_loss_weighs_nothing_and_is_named():
    points = valleys(CHINCHILLA, noise=0.003)
    points["loss"][[3, 11]] = 1e4, 12.0
    found = fit(points, bootstraps=0)
    assert found.status.kind is Kind.DIVERGED
    assert "rows 3, 11" in found.status.sentence
    assert found.law.alpha == pytest.approx(CHINCHILLA["alpha"], abs=0.03)


def test_two_computes_are_said_to_be_too_few():
    assert fit(valleys(CHINCHILLA, budgets=2, noise=0.001), bootstraps=0).status.kind is Kind.TOO_FEW_BUDGETS


def test_losses_without_a_law_are_said_to_have_none():
    points = valleys(CHINCHILLA)
    points["loss"] = np.exp(np.random.default_rng(0).normal(size=40))
    assert not fit(points, bootstraps=0).status.ok
    points["loss"] = 1.8 + 400 * points["params"] ** -0.35
    assert fit(points, bootstraps=0).status.found(Kind.NOT_DECREASING)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("method", ["parametric", "isoflop", "envelope"])
def test_nonsense_gives_a_status_and_never_a_crash(method, seed):
    generator = np.random.default_rng(seed)
    count = int(generator.integers(6, 40))
    params, data = np.exp(generator.uniform(10, 25, count)), np.exp(generator.uniform(15, 30, count))
    loss = [
        np.exp(generator.normal(size=count)),
        1 + 1e-9 * generator.random(count),
        np.exp(5 * generator.normal(size=count)),
        1 + params * 1e-9,
        data**0.3,
        generator.random(count) * 1e-200,
    ][seed]
    found = fit(
        {"params": params, "data": data, "flops": 6 * params * data, "loss": loss}, method=method, bootstraps=60
    )
    assert checklist(found)
    assert to_json(found)
    if found.estimate is None:
        assert found.status.severity is Severity.FATAL
        return
    if method == "parametric":
        assert not found.status.ok
    found.optimal(flops=1e22)
    found.compute_for(loss=2.0)
