"""Points on one trajectory stand and fall together: intervals draw trajectories, not points."""

from dataclasses import replace

import numpy as np
import pytest
from surfaces import CHINCHILLA, optimum, surface, valleys

from raysweep.frontier import checklist, compare, crossovers, fit, from_json, to_json
from raysweep.frontier.approaches.options import Options
from raysweep.frontier.fit import fit_group
from raysweep.frontier.laws.forms import Form
from raysweep.frontier.numerics.intervals import resample
from raysweep.frontier.points.findings import Kind
from raysweep.frontier.points.readers import as_table

METHODS = ("parametric", "isoflop", "envelope")
NOISE = 0.005
STEEPER = {"E": 1.8172, "A": 1542.0, "alpha": 0.40, "B": 5422.0, "beta": 0.41}
"""Crosses Chinchilla's frontier at 1e20."""


def runs(*, sizes=4, seeds=3, budgets=5, share=0.5, seed=0):
    """Return points of sizes x seeds trajectories; `share` of the noise's variance is common to one's points."""
    generator = np.random.default_rng(seed)
    params = np.repeat(np.geomspace(1e7, 10**10.5, sizes), seeds * budgets)
    data = np.tile(np.geomspace(1e9, 10**12.5, budgets), sizes * seeds)
    run = np.repeat(np.arange(sizes * seeds), budgets)
    own, common = generator.normal(size=params.size), generator.normal(size=sizes * seeds)[run]
    noisy = np.exp(NOISE * (np.sqrt(1 - share) * own + np.sqrt(share) * common))
    loss = surface(CHINCHILLA, params, data) * noisy
    return {"params": params, "data": data, "flops": 6 * params * data, "loss": loss, "trajectory": run}


def independent(points):
    return {name: values for name, values in points.items() if name != "trajectory"}


def twice(points, trajectory):
    """Return every point and a copy of it (off by rounding, or it would be left out as read twice)."""
    both = {name: np.concatenate([values, values]) for name, values in points.items()}
    both["loss"][len(points["loss"]) :] *= 1 + 1e-9
    return {**both, "trajectory": trajectory}


def width(found, name):
    low, high = found.interval(name, flops=1e24)
    return np.log(high / low)


@pytest.mark.parametrize("method", METHODS)
def test_one_point_on_each_trajectory_is_the_same_to_the_last_bit_as_no_trajectories(method):
    points = valleys(CHINCHILLA, noise=NOISE)
    found = fit(points, method=method, bootstraps=100)
    named = fit({**points, "trajectory": [f"t{k % 7}{k}" for k in range(40)]}, method=method, bootstraps=100)
    assert named.status == found.status
    assert named.influence == found.influence
    for name in ("a", "gamma", "optimal_params"):
        for how in ("default", "percentile", "bca"):
            assert named.interval(name, flops=1e24, method=how) == found.interval(name, flops=1e24, method=how)
    for law, other in ((named.draws, found.draws), (named.leave_one_out, found.leave_one_out)):
        np.testing.assert_array_equal(law.E, other.E)


@pytest.mark.parametrize("method", ["parametric", "isoflop"])
def test_copies_on_the_same_trajectory_tell_nothing_and_independent_ones_halve_the_variance(method):
    points = valleys(CHINCHILLA, noise=NOISE)
    places = np.arange(40)
    once = fit(points, method=method)
    same = fit(twice(points, np.tile(places, 2)), method=method, law="additive")
    apart = fit(twice(points, np.arange(80)), method=method, law="additive")  # replicates that agree contradict any law
    for name in ("a", "optimal_params", "optimal_loss"):
        assert width(same, name) > 0.97 * width(once, name), name
        assert width(apart, name) < 0.8 * width(once, name), name


@pytest.mark.slow  # 120 fits with their draws
def test_intervals_cover_where_runs_share_most_of_their_noise_and_those_of_points_do_not():
    truth = np.log(optimum(CHINCHILLA, 1e24)[0])
    inside = np.zeros(2)
    for seed in range(60):
        points = runs(share=0.9, seed=seed)
        for k, one in enumerate((points, independent(points))):
            low, high = np.log([*fit(one, bootstraps=60).interval("optimal", flops=1e24)])
            inside[k] += low <= truth <= high
    assert inside[0] >= 52
    assert inside[1] <= 45


def test_a_law_near_the_largest_runs_weighs_them_and_draws_whole_trajectories():
    points = runs()
    every = np.arange(points["loss"].size)
    usual, near = (
        fit_group(as_table(points), every, Options(form=Form(toward_largest=local), bootstraps=60))
        for local in (False, True)
    )
    assert usual.run_noise is not None
    assert near.run_noise is None
    assert near.params_exponent != usual.params_exponent
    assert np.size(near.leave_one_out.E) == 12


def test_a_resample_draws_whole_trajectories():
    unit = np.array([0, 0, 1, 2, 1, 0])
    weights = resample(unit, 200, seed=3)
    assert weights.shape == (200, 6)
    assert np.all(weights[:, [0, 2]] == weights[:, [1, 4]])
    np.testing.assert_array_equal(weights[:, [0, 2, 3]].sum(axis=1), 3)


def test_points_that_name_no_trajectory_are_drawn_alone():
    points = runs(seeds=1)
    for kind in (int, str):
        named = [*map(kind, points["trajectory"][:10]), *[None] * 10]
        found = fit({**points, "trajectory": named}, bootstraps=60)
        assert np.size(found.leave_one_out.E) == 2 + 10
        assert {len(one.rows) for one in found.influence} == {1, 5}


def test_three_runs_give_an_interval_with_a_reservation_and_four_one_without():
    points = runs(sizes=3, seeds=1)
    found, more = fit(points, bootstraps=200), fit(runs(seeds=1), bootstraps=60)
    assert found.status.found(Kind.TOO_FEW_TRAJECTORIES)
    assert "3 trajectories" in str(found.status)
    assert not more.status.found(Kind.TOO_FEW_TRAJECTORIES)
    assert "one seed per size" in next(one.sentence for one in more.status.findings if one.kind is Kind.RUN_NOISE)
    assert width(found, "a") > 1.3 * width(fit(independent(points), bootstraps=200), "a")
    assert np.size(found.leave_one_out.E) == 3


def test_resampled_where_a_law_is_open_without_one_trajectory_the_points_are_drawn_and_the_status_says_so():
    points = runs(sizes=3, seeds=1)
    options = Options(bootstraps=60, run_noise=False)
    table = as_table(points)
    found = fit_group(table, np.arange(table.num_rows), options)
    assert found.run_noise is None
    assert found.status.found(Kind.TOO_FEW_TRAJECTORIES)
    assert "3 trajectories" in str(found.status)
    assert found.interval("a") == fit(independent(points), bootstraps=60).interval("a")
    held = fit_group(table, np.arange(table.num_rows), replace(options, form=Form(asymptote=CHINCHILLA["E"])))
    assert not held.status.found(Kind.TOO_FEW_TRAJECTORIES)  # then two sizes are enough
    assert np.size(held.leave_one_out.E) == 3


def test_four_runs_give_wider_intervals_than_their_points_would():
    points = runs(seeds=1)
    found, loose = fit(points), fit(independent(points))
    assert found.degrees_of_freedom < 10
    assert loose.degrees_of_freedom == 15
    for name in ("a", "optimal_params"):
        assert width(found, name) > 1.2 * width(loose, name)


@pytest.mark.parametrize("method", METHODS)
def test_influence_and_checklist_speak_of_trajectories(method):
    points = valleys(CHINCHILLA, noise=NOISE)
    run = np.tile(np.arange(8), 5)
    found = fit({**points, "trajectory": run}, method=method, bootstraps=60)
    assert sorted(row for one in found.influence for row in one.rows) == list(range(40))
    assert all(len(set(run[list(one.rows)])) == 1 for one in found.influence)
    assert "8 trajectories" in checklist(found)
    back = from_json(to_json(found))
    assert back.interval("a") == found.interval("a")
    assert back.influence == found.influence


def test_the_approaches_share_their_resamples_of_trajectories():
    points = valleys(CHINCHILLA, noise=NOISE)
    found = compare({**points, "trajectory": np.tile(np.arange(8), 5)}, bootstraps=60)
    assert {one.degrees_of_freedom for one in found.fits.values()} == {7}
    assert {np.size(one.leave_one_out.E) for one in found.fits.values()} == {8}


def test_where_two_architectures_cross_is_less_sure_where_their_runs_share_noise():
    def fits(**names):
        both = {}
        for label, law in (("one", CHINCHILLA), ("two", STEEPER)):
            points = runs(seeds=2, share=0.9, seed=len(both))
            points["loss"] *= surface(law, points["params"], points["data"])
            points["loss"] /= surface(CHINCHILLA, points["params"], points["data"])
            both[label] = fit({name: values for name, values in points.items() if name not in names}, bootstraps=200)
        return both

    (together,), (apart,) = crossovers(fits()), crossovers(fits(trajectory=None))
    assert together.flops.value == pytest.approx(apart.flops.value, rel=0.2)
    assert together.flops.value in together.flops.interval
    relative = [answer.flops.interval.width / answer.flops.value for answer in (together, apart)]
    assert relative[0] > 1.3 * relative[1]
