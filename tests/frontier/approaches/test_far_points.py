"""Losses far from all others: they weigh nothing, the law stays, and a finding names their rows."""

import numpy as np
import pytest
from surfaces import CHINCHILLA, valleys

from raysweep.frontier import fit
from raysweep.frontier.points.findings import Kind

POINTS = valleys(CHINCHILLA, noise=0.005, seed=1)
CLEAN = {method: fit(POINTS, method=method, bootstraps=0) for method in ("parametric", "isoflop", "envelope")}


def changed(rows, factor):
    loss = POINTS["loss"].copy()
    loss[rows] *= factor
    return {**POINTS, "loss": loss}


@pytest.mark.parametrize("factor", [0.9, 0.5, 0.2, 0.01])
@pytest.mark.parametrize("rows", [[39], [3], [20, 21], [0, 7, 18, 39]])
def test_losses_far_below_the_others_weigh_nothing_and_are_named(rows, factor):
    found = fit(changed(rows, factor), bootstraps=0)
    assert found.params_exponent == pytest.approx(CLEAN["parametric"].params_exponent, abs=0.015)
    assert abs(found.law.E - CLEAN["parametric"].law.E) < 0.06
    assert np.all(found.trust[rows] == 0)
    (one,) = [one for one in found.status.findings if one.kind is Kind.FAR_BELOW]
    assert one.sentence.endswith(f"(row{'s' if len(rows) > 1 else ''} {', '.join(map(str, rows))})")
    assert one.sentence.startswith("1 point lies" if len(rows) == 1 else f"{len(rows)} points lie")


def test_rows_are_those_of_the_table_given():
    points = changed([30], 0.3)
    points["loss"][2] = np.nan
    found = fit(points, exclude=[5], bootstraps=0)
    assert any(one.kind is Kind.FAR_BELOW and "(row 30)" in one.sentence for one in found.status.findings)


@pytest.mark.parametrize("factor", [0.8, 0.05, 20.0])
@pytest.mark.parametrize("method", ["isoflop", "envelope"])
def test_no_approach_follows_a_point_far_from_the_law(method, factor):
    found = fit(changed([1], factor), method=method, bootstraps=0)
    assert found.params_exponent == pytest.approx(CLEAN[method].params_exponent, abs=0.02)
    assert found.status.kind is (Kind.FAR_BELOW if factor < 1 else Kind.DIVERGED)
    assert found.samples.digest() == fit(changed([1], factor), bootstraps=0).samples.digest()


def test_a_low_point_below_the_asymptote_held_weighs_nothing():
    found = fit(changed([12], 0.3), asymptote=CHINCHILLA["E"], bootstraps=0)
    assert found.status.kind is Kind.FAR_BELOW
    assert found.params_exponent == pytest.approx(0.5126, abs=0.02)
    for wrong in (POINTS["loss"].min() * 1.0001, 2.6):
        assert fit(POINTS, asymptote=wrong, bootstraps=0).status.kind is Kind.NOT_POSITIVE


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3])
@pytest.mark.parametrize("factor", [3.0, 1e3])
def test_up_to_a_third_of_diverged_runs_leave_the_law_as_it_is(share, factor):
    points = valleys(CHINCHILLA, noise=0.005, seed=1, budgets=7, sizes=9)
    rows = np.random.default_rng(0).choice(63, int(share * 63), replace=False)
    points["loss"][rows] *= factor
    found = fit(points, bootstraps=100)
    assert found.status.kind is Kind.DIVERGED
    assert found.params_exponent == pytest.approx(0.5126, abs=0.03)
    assert np.all(found.trust[rows] == 0)
    low, high = found.interval("a")
    assert low < 0.5126 < high < low + 0.08


def test_more_points_far_from_the_law_than_outliers_can_be_are_said():
    rows = np.random.default_rng(0).choice(40, 16, replace=False)
    found = fit(changed(rows, 0.4), bootstraps=0)
    assert found.status.found(Kind.MANY_FAR_AWAY)
    assert not CLEAN["parametric"].status.found(Kind.MANY_FAR_AWAY)
