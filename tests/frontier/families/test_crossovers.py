"""Crossings of two frontiers: which overtakes which is judged where it is said."""

import numpy as np
import pytest
from surfaces import CHINCHILLA, optimum, valleys

from raysweep.frontier import crossovers, fit
from raysweep.frontier.families.crossing import crossings

STEEPER = {**CHINCHILLA, "alpha": 0.45, "beta": 0.45, "A": 4000.0, "B": 20000.0}
TWICE = {**CHINCHILLA, "E": 1.86, "alpha": 0.40, "beta": 0.38, "A": 1600.0}


def fitted(law, seed, **design):
    return fit(valleys(law, noise=0.003, seed=seed, **design), bootstraps=200, law="additive")


def true_crossings(one, other):
    grid = np.geomspace(1e13, 1e27, 40001)
    gap = optimum(one, grid)[2] - optimum(other, grid)[2]
    return grid[np.flatnonzero(np.sign(gap[:-1]) != np.sign(gap[1:]))]


def test_either_side_of_a_crossing_has_its_own_judgement():
    (found,) = crossovers({"slow": fitted(CHINCHILLA, 0), "steep": fitted(STEEPER, 1)}, reach=10)
    assert (found.before, found.after, found.number, found.count) == ("slow", "steep", 1, 1)
    by_compute = {round(float(np.log10(lead.flops))): lead for lead in found.leads}
    assert sorted(by_compute) == [17, 18, 22, 23]
    assert [by_compute[power].family for power in (17, 18, 22, 23)] == ["slow", "slow", "steep", "steep"]
    assert [by_compute[power].inside for power in (17, 18, 22, 23)] == [False, True, True, False]
    assert all(lead.probability > 0.95 for lead in found.leads if lead.inside)
    assert "slow is lower at 1e+18" in found.sentence
    assert "steep is lower at 1e+22" in found.sentence


def test_the_order_of_the_families_changes_no_statement():
    slow, steep = fitted(CHINCHILLA, 0), fitted(STEEPER, 1)
    (one,), (other,) = crossovers({"a": slow, "b": steep}), crossovers({"b": steep, "a": slow})
    assert (one.before, one.after) == (other.before, other.after) == ("a", "b")
    assert one.flops.value == pytest.approx(other.flops.value, rel=1e-6)


def test_a_lead_within_the_points_is_surer_than_one_far_beyond_them():
    close = {**CHINCHILLA, "E": CHINCHILLA["E"] + 0.02}
    (found,) = crossovers({"one": fitted(CHINCHILLA, 2), "other": fitted(close, 3)}, reach=1.0)
    far = crossovers({"one": fitted(CHINCHILLA, 2), "other": fitted(close, 3)}, reach=1e6)[0]
    inside = min(lead.probability for lead in found.leads)
    assert found.before == found.after == "one"
    assert inside > 0.9
    assert far.leads[-1].probability < inside
    assert far.share < found.share


def test_a_pair_that_crosses_twice_is_told():
    one, other = CHINCHILLA, TWICE
    true = true_crossings(one, other)
    assert len(true) == 2
    design = {"lowest": 1e16, "highest": 1e24, "budgets": 9}
    found = crossovers({"one": fitted(one, 4, **design), "other": fitted(other, 5, **design)}, reach=1e4)
    assert [cross.number for cross in found] == [1, 2]
    assert (found[0].before, found[0].after) == (found[1].after, found[1].before)
    for cross, place in zip(found, true, strict=True):
        assert cross.flops.value == pytest.approx(place, rel=0.5)
        assert "cross 2 times" in cross.sentence
    between = [lead for lead in found[0].leads if true[0] < lead.flops < true[1]]
    assert {lead.family for lead in between} == {found[0].after}


def test_a_crossing_beyond_the_points_is_widened():
    late = {"lowest": 1e18, "highest": 1e20}
    slow, steep = fitted(CHINCHILLA, 0, **late), fitted(STEEPER, 1, **late)
    (found,) = crossovers({"slow": slow, "steep": steep}, reach=1e6)
    assert not found.inside
    assert "extrapolation" in found.sentence
    factor = max(slow.frontier_factor, steep.frontier_factor)
    for one in (slow, steep):
        one.__dict__["frontier_factor"] = 1.0
    (narrow,) = crossovers({"slow": slow, "steep": steep}, reach=1e6)
    wide, thin = (np.log(cross.flops.interval.high / cross.flops.interval.low) for cross in (found, narrow))
    assert wide == pytest.approx(factor * thin)


def test_equal_frontiers_do_not_cross():
    one = fitted(CHINCHILLA, 0)
    (found,) = crossovers({"one": one, "two": one})
    assert "the same frontier" in found.sentence


def test_changes_of_sign_are_found_with_their_direction():
    grid = np.linspace(0.0, 4.0, 401)
    found = crossings((grid - 1.0) * (grid - 3.0), grid)
    assert [place for place, _ in found] == pytest.approx([1.0, 3.0], abs=1e-3)
    assert [rising for _, rising in found] == [False, True]
