"""The race as a pure function, and the choice of its runs."""

import pytest
from racing import COMPUTE, FLAT, SIZES, STEEP, candidates, points

from raysweep.core.errors import FrontierError
from raysweep.frontier import RaceSettings, decide, next_moves, race_round

LAWS = {"flat": FLAT, "steep": STEEP}
GRID = candidates(LAWS)
KNOWN = {one.trial_id: one for one in GRID}
SETTINGS = RaceSettings(flops=COMPUTE)


def run(settings=SETTINGS, laws=LAWS, noise=0.005, rounds=20):
    """Go through a race; return its rounds and the trial ids of each."""
    looks, found = [], []
    while len(found) <= rounds:
        taken = [KNOWN[trial] for look in looks for trial in look]
        found.append(race_round(GRID, looks, points(laws, taken, noise) if taken else None, settings))
        if found[-1].ended:
            return found, looks
        looks.append([one.trial_id for one in found[-1].chosen])
    raise AssertionError("the race does not end")


def test_a_race_ends_with_the_family_that_is_lower_at_the_compute_at_a_part_of_the_grids_cost():
    found, looks = run()
    assert (found[-1].ended, found[-1].verdict.families) == ("decided", ("steep",))
    spent = sum(KNOWN[trial].flops for look in looks for trial in look)
    assert spent < 0.5 * sum(one.flops for one in GRID if len(one.atoms) == 6)


def test_the_pilot_has_every_size_of_every_family_once_at_equal_compute():
    pilot = race_round(GRID, [], None, SETTINGS).chosen
    assert sorted((one.family, one.params) for one in pilot) == sorted((name, size) for name in LAWS for size in SIZES)
    assert {one.seed for one in pilot} == {0}


def test_a_race_goes_on_from_its_looks_to_the_same_round():
    found, looks = run()
    for done in range(len(looks)):
        taken = [KNOWN[trial] for look in looks[:done] for trial in look]
        again = race_round(list(GRID), looks[:done], points(LAWS, taken) if taken else None, SETTINGS)
        assert again == found[done]


def test_no_run_is_made_twice_and_the_budget_holds():
    budget = 0.3 * sum(one.flops for one in GRID if len(one.atoms) == 6)
    settings = RaceSettings(flops=COMPUTE, budget=budget, delta=0.001)
    found, looks = run(settings, {"flat": FLAT, "steep": FLAT}, noise=0.05)
    taken = [KNOWN[trial] for look in looks for trial in look]
    assert len({(one.family, one.run) for one in taken}) == len(taken)
    assert sum(one.flops for one in taken) <= budget
    assert found[-1].ended in ("budget", "grid")
    assert found[-1].verdict.kind == "undecided"


def test_a_race_without_points_says_so():
    assert race_round(GRID, [[GRID[0].trial_id]], None, SETTINGS).ended == "points"


def test_what_cannot_be_raced_is_refused():
    with pytest.raises(FrontierError, match="two are needed"):
        race_round(candidates(["flat"]), [], None, SETTINGS)
    with pytest.raises(FrontierError, match="one trial_id"):
        race_round([*GRID, GRID[0]], [], None, SETTINGS)
    with pytest.raises(FrontierError, match="nobody"):
        race_round(GRID, [["nobody"]], None, SETTINGS)
    for wrong in ({"flops": 0.0}, {"delta": 1.0}, {"error": 0.0}, {"budget": 0.0}, {"growth": -1.0}):
        with pytest.raises(FrontierError, match=next(iter(wrong))):
            RaceSettings(**{"flops": COMPUTE, **wrong})


def test_moves_lower_the_error_of_the_loss_and_leave_alone_who_is_out():
    pilot = race_round(GRID, [], None, SETTINGS).chosen
    measured = points({"flat": FLAT, "steep": FLAT}, pilot, noise=0.03)
    verdict = decide(measured, flops=COMPUTE)
    table = {
        "architecture": [one.family for one in GRID],
        "params": [one.params for one in GRID],
        "data": [max(one.atoms) for one in GRID],
        "flops": [one.flops for one in GRID],
        "trajectory": [f"{one.family} {one.run}" for one in GRID],
    }
    found = next_moves(measured, table, 4 * COMPUTE, verdict=verdict)
    assert found.spent <= 4 * COMPUTE
    assert found.runs
    for one in found.runs:
        assert one.standard_error < found.standard_errors[one.architecture]
    with pytest.raises(FrontierError, match="cheapest"):
        next_moves(measured, table, 1.0, verdict=verdict)
