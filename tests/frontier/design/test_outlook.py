"""What planned runs would tell: widths against those of fits, conditions, brackets, and why a design cannot answer."""

import numpy as np
import pytest

from raysweep.core.errors import FrontierError
from raysweep.frontier import design_outlook, fit
from raysweep.frontier.design.planned import PlannedPoints, brackets
from raysweep.frontier.design.prospects import ANSWERS, prospect
from raysweep.frontier.design.usual import USUAL_NOISE, usual_laws
from raysweep.frontier.fitting.run_noise.runs import Memory, arrange_runs, draw_errors
from raysweep.frontier.laws.laws import CostModel, Surface

COST = CostModel(log_kappa=float(np.log(6)), params_power=1.0, data_power=1.0)
LAW = Surface(E=0.03, log_A=float(np.log(9.0)), alpha=0.45, log_B=float(np.log(60.0)), beta=0.45, cost=COST)


def runs(sizes, data, seeds=1):
    rows = [(n, d, f"{n} {seed}") for n in sizes for seed in range(seeds) for d in data]
    params, seen, run = zip(*rows, strict=True)
    return PlannedPoints.of(params, seen, 6 * np.array(params) * np.array(seen), run)


def table(points):
    return {"params": points.params, "data": points.data, "flops": points.flops, "trajectory": points.run}


def measured(points, law, seed):
    """Return points with the usual noise of runs."""
    ones, noise = np.ones(points.params.size), USUAL_NOISE
    arranged = arrange_runs(
        np.log(points.params), np.log(points.data), points.run, ones, ones, float(np.log(noise.params))
    )
    memory = Memory(memory=np.array([noise.memory]), white=np.array([noise.white]), slope=np.array([noise.slope]))
    errors = draw_errors(arranged, memory, np.log([noise.deviation]), (seed,))[0]
    return {**table(points), "loss": law.loss(points.params, points.data) * np.exp(errors)}


def test_expected_widths_are_those_of_fits_to_within_a_third():
    for points in (
        runs(np.geomspace(1e3, 1e5, 4), np.geomspace(1e5, 3e6, 6)),
        runs(np.geomspace(1e3, 1e5, 6), np.geomspace(5e4, 3e6, 7), seeds=2),
    ):
        expected = prospect(points, LAW, USUAL_NOISE)
        widths = []
        for seed in range(5):
            found = fit(measured(points, LAW, seed), bootstraps=100, law="additive", window="all")
            ends = [found.interval(name, flops=expected.flops) for name in ANSWERS]
            widths.append([one.high - one.low for one in ends[:3]] + [np.log(one.high / one.low) for one in ends[3:]])
        ratio = np.median(widths, axis=0) / [expected.widths[name] for name in ANSWERS]
        assert np.all(np.abs(np.log(ratio)) < np.log(1.34)), ratio


def test_more_seeds_and_more_sizes_narrow_every_answer():
    sizes, data = np.geomspace(1e3, 1e5, 4), np.geomspace(1e5, 3e6, 6)
    few, more = prospect(runs(sizes, data), LAW, USUAL_NOISE), prospect(runs(sizes, data, seeds=4), LAW, USUAL_NOISE)
    for name in ANSWERS:
        assert more.widths[name] == pytest.approx(few.widths[name] / 2, rel=0.25)
    assert more.condition == pytest.approx(few.condition)


def test_on_one_ray_the_condition_number_grows_as_the_difference_of_the_exponents_squared_falls():
    sizes = np.geomspace(1e3, 1e6, 7)
    points = PlannedPoints.of(sizes, 100 * sizes, 600 * sizes**2, sizes)
    assert points.ray

    def condition(difference):
        law = Surface(E=0.0, log_A=2.0, alpha=0.5, log_B=4.0, beta=0.5 + difference, cost=COST)
        return prospect(points, law, USUAL_NOISE).condition

    assert condition(0.1) / condition(0.2) > 4
    assert condition(0.01) / condition(0.02) > 3.5
    off = runs(sizes, 100 * sizes[::2])
    assert not off.ray
    assert prospect(off, LAW, USUAL_NOISE).condition < 1e-3 * condition(0.01)


def test_a_budget_is_bracketed_by_two_sizes_that_reach_it_on_either_side():
    best = float(LAW.optimum(1e11)[0])
    data = float(LAW.optimum(1e11)[1])
    sizes = best * np.array([0.25, 0.5, 2.0, 4.0])
    whole = runs(sizes, data * np.geomspace(0.1, 5, 6))
    (found,) = brackets(whole, LAW, [1e11])
    assert (found.below, found.above, found.within_data, found.bracketed) == (2, 2, True, True)
    short = runs(sizes, data * np.geomspace(0.1, 1.2, 6))  # half of N* does not reach the budget within so little data
    (found,) = brackets(short, LAW, [1e11])
    assert (found.below, found.above, found.bracketed) == (0, 2, False)
    assert "2 sizes more below N*" in found.lacks
    (found,) = brackets(whole, LAW, [1e11], transition=0.4 * data)
    assert (found.below, found.above, found.bracketed) == (
        2,
        1,
        False,
    )  # the largest gets there in a quarter of the data
    (found,) = brackets(whole, LAW, [1e11], transition=1.1 * data)
    assert not found.within_data
    assert "data up to D*" in found.lacks


def test_the_outlook_takes_the_points_where_there_are_any():
    points = runs(np.geomspace(1e3, 1e5, 6), np.geomspace(1e5, 3e6, 6))
    before = design_outlook(table(points), budgets=[1e10])[None]
    after = design_outlook(table(points), measured(points, LAW, 0), budgets=[1e10])[None]
    assert not before.measured
    assert len(before.prospects) == len(usual_laws(COST))
    assert after.measured
    low, _, high = before.width("params_exponent")
    assert low < after.width("params_exponent")[1] < high
    assert after.bracketed == {1e10: 1.0}
    told = after.to_dict()
    assert told["law"] == "fitted"
    assert told["optima"][0]["params"] == pytest.approx(float(LAW.optimum(1e10)[0]), rel=0.3)
    assert not before.concerns
    assert not after.concerns


@pytest.mark.parametrize(
    ("points", "told"),
    [
        (runs([1e3, 1e4], np.geomspace(1e5, 1e6, 5)), "2 sizes leave the exponents open: train 3 or more"),
        (runs([1e3, 3e3, 1e4, 3e4], [1e6]), "D follows from N in all runs"),
        (runs(np.geomspace(1e3, 4e3, 5), np.geomspace(1e5, 1e8, 8)), "no size is above N* at 1e+14 FLOPs"),
        (runs(np.geomspace(1e4, 1.5e4, 3), np.geomspace(1e6, 1.3e6, 3)), "a is expected to be known to ±"),
    ],
)
def test_a_design_that_cannot_answer_says_why(points, told):
    concerns = design_outlook(table(points), budgets=[1e14])[None].concerns
    assert any(told in concern for concern in concerns), concerns


def test_what_is_no_design_is_refused():
    with pytest.raises(FrontierError, match="positive"):
        design_outlook(table(runs([1e3, 1e4], [1e5])), budgets=[-1.0])
    with pytest.raises(FrontierError, match="data"):
        design_outlook({"params": [1.0], "trajectory": ["a"]})
    with pytest.raises(FrontierError, match="give equal numbers"):
        PlannedPoints.of([1.0, 2.0], [1.0], [1.0], ["a"])
    with pytest.raises(FrontierError, match="positive numbers"):
        PlannedPoints.of([1.0], [0.0], [1.0], ["a"])
