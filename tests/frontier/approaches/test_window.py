"""The transition: its end is found, what lies before is left out with the reason, and short runs say what they need."""

from pathlib import Path

import numpy as np
import pytest

from raysweep.core.errors import FrontierError
from raysweep.frontier import fit, fit_families, local_exponents, read_parquet
from raysweep.frontier.points.findings import Kind

LONG = Path(__file__).resolve().parents[4] / "shared" / "cases" / "frontier" / "long_curves.parquet"


def runs(budgets=7, start=1.5, noise=0.003, seed=0):
    """Points of four runs that begin `start` below their law, a share that falls with D."""
    generator = np.random.default_rng(seed)
    params = np.repeat(np.geomspace(1e3, 5e4, 4), budgets)
    data = np.tile(4.8e4 * 2.0 ** np.arange(budgets), 4)
    law = (0.02 + 4 * params**-0.4 + 60 * data**-0.5) / (1 + start * (4.8e4 / data) ** 3)
    loss = law * np.exp(noise * generator.normal(size=data.size))
    run = np.repeat(np.arange(4), budgets).astype(str)
    return {"params": params, "data": data, "flops": 50 * params * data, "loss": loss, "trajectory": run}


def test_the_window_begins_after_the_transition_and_what_lies_before_is_listed():
    found = fit(runs(), bootstraps=0)
    assert found.status.found(Kind.TRANSITION)
    assert 9e4 < found.samples.data.min() < 8e5
    left_out = [item for item in found.excluded if item.kind is Kind.BEFORE_WINDOW]
    assert len(left_out) == 28 - found.samples.count > 0
    assert "before the transition ends at D =" in left_out[0].reason
    assert not found.status.found(Kind.LAW_BENDS)
    assert fit(runs(), bootstraps=0, window="all").status.found(Kind.LAW_BENDS)


def test_runs_that_obey_one_law_keep_all_their_points():
    found = fit(runs(start=0.0), bootstraps=0)
    assert found.samples.count == 28
    assert not found.status.found(Kind.TRANSITION)


def test_too_short_runs_say_how_much_more_data_they_need():
    found = fit(runs(budgets=4, noise=0.0005), bootstraps=0)
    assert found.samples.count == 16
    (one,) = [one for one in found.status.findings if one.kind is Kind.TRANSITION]
    assert "no window of D is long enough" in one.sentence
    assert "times the largest D" in one.sentence


def test_a_window_that_is_given_is_kept_to():
    found = fit(runs(), bootstraps=0, window=(3.8e5, 2e6))
    assert found.samples.count == 12
    assert {item.kind for item in found.excluded} == {Kind.BEFORE_WINDOW}
    for wrong in ("late", (2.0, 1.0), (1.0,), (-1.0, 2.0)):
        with pytest.raises(FrontierError, match="window"):
            fit(runs(), window=wrong)


def test_local_exponents_are_those_of_the_curves():
    points = runs(start=0.0, noise=0.0)
    found = local_exponents(points)
    assert found.exponent.size == 24
    by_hand = -np.log(points["loss"][1:7] / points["loss"][:6]) / np.log(2)
    assert found.exponent[found.run == 0] == pytest.approx(by_hand)
    assert found.law == pytest.approx(found.exponent, abs=1e-6)
    twice = {name: np.concatenate([values, values]) for name, values in runs(noise=0.01).items()}
    twice["trajectory"] = np.repeat(np.arange(8), 7).astype(str)
    twice["loss"] = runs(start=0.0, noise=0.0)["loss"].repeat(1).tolist() * 2
    twice["loss"] = np.array(twice["loss"]) * np.exp(0.01 * np.random.default_rng(1).normal(size=56))
    again = local_exponents(twice)
    assert again.replicated
    assert again.error == pytest.approx(0.01 * np.sqrt(2) / np.log(2), rel=0.5)


@pytest.mark.skipif(not LONG.exists(), reason="no long curves")
def test_force_fields_curves_have_their_transition_left_out():
    fits = fit_families(read_parquet(LONG), bootstraps=0)
    assert len(fits) == 3
    for found in fits.values():
        assert found.status.found(Kind.TRANSITION)
        assert 1.9e5 < found.samples.data.min() < 4e5
    wide = read_parquet(LONG).to_pandas()
    wide = wide[wide.architecture.str.startswith("tensor")]
    exponents = local_exponents(wide)
    assert exponents.exponent[exponents.params == 4890] == pytest.approx([0.28, 0.46, 0.44, 0.27, 0.22, 0.21], abs=0.01)


@pytest.mark.skipif(not LONG.exists(), reason="no long curves")
def test_after_the_transition_the_families_stand_in_the_order_of_the_study():
    fits = fit_families(read_parquet(LONG), bootstraps=0)
    found = {name.split("-")[0]: one.surface for name, one in fits.items()}
    for name, alpha, beta in (("egnn", 0.34, 0.51), ("mpnn", 0.26, 0.65), ("tensor", 0.52, 0.64)):
        assert (float(found[name].alpha), float(found[name].beta)) == pytest.approx((alpha, beta), abs=0.1)
    for exponent in (lambda law: law.alpha * law.beta / (law.alpha + law.beta), lambda law: law.loss_exponent):
        assert exponent(found["mpnn"]) < exponent(found["egnn"]) < exponent(found["tensor"])
    for one in fits.values():
        assert {item.kind for item in one.excluded} == {Kind.BEFORE_WINDOW}
        assert all("before the transition ends" in item.reason for item in one.excluded)
