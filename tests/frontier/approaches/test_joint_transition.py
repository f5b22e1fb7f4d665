"""Families of one sweep show together that their runs are in transition, where one of them alone does not."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from raysweep.frontier import fit_families
from raysweep.frontier.approaches.options import make_options
from raysweep.frontier.approaches.window import with_joint_transition
from raysweep.frontier.fitting.misfit.curvature import run_curvatures, steepening_p_value
from raysweep.frontier.points.cleaning import clean
from raysweep.frontier.points.families import families_of
from raysweep.frontier.points.findings import Kind
from raysweep.frontier.points.readers import as_table


def sweep(bends, *, seed=0, noise=0.02):
    """Return a family for each bend: four runs of six budgets over a factor 8, with noise that runs remember."""
    generator = np.random.default_rng(seed)
    runs = 4 * len(bends)
    params = np.tile(np.repeat(np.geomspace(1e3, 5e4, 4), 6), len(bends))
    data = np.tile(np.geomspace(3e4, 2.4e5, 6), runs)
    steps = generator.normal(size=(runs, 6))
    for i in range(1, 6):
        kept = np.exp(-np.log(8) / 5 / 2.2)
        steps[:, i] = kept * steps[:, i - 1] + np.sqrt(1 - kept**2) * steps[:, i]
    along = np.log(data / data.min()) / np.log(8)
    bend = np.repeat(bends, 24) * 4 * along * (1 - along)
    loss = (0.05 + 1.6 * params**-0.35 + 60 * data**-0.45) * np.exp(noise * steps.ravel() + bend)
    return {
        "params": params,
        "data": data,
        "flops": 6 * params * data,
        "loss": loss,
        "trajectory": np.repeat(np.arange(runs), 6),
        "architecture": np.repeat([f"family {one}" for one in range(len(bends))], 24),
    }


def judged(points, **settings):
    """Return the sentences of the families that the others show to be in transition."""
    table = as_table(points)
    cleaned = {family: clean(table, rows, "flops", None) for family, rows in families_of(table).items()}
    options = replace(make_options(law="additive", bootstraps=0, **settings), starts=4)
    found = with_joint_transition(cleaned, options)
    return {
        family: finding.sentence
        for family, one in found.items()
        for finding in one.findings
        if finding.kind is Kind.TRANSITION
    }


def test_families_that_steepen_together_are_each_told_with_the_evidence_of_the_others():
    found = judged(sweep([0.06] * 4))
    assert list(found) == [f"family {one}" for one in range(4)]
    assert all("so do those of 3 other families, p = " in sentence for sentence in found.values())


def test_families_on_the_law_are_not_told_even_beside_one_that_bends():
    for seed in range(4):
        assert judged(sweep([0.0] * 4, seed=seed)) == {}
        assert set(judged(sweep([0.3, 0.0, 0.0, 0.0], seed=seed))) <= {"family 0"}


def test_two_families_and_all_points_asked_for_are_not_judged():
    assert judged(sweep([0.06] * 2)) == {}
    assert judged(sweep([0.06] * 4), window="all") == {}


def test_fits_of_families_judge_them_together(monkeypatch):
    monkeypatch.setattr(sys.modules["raysweep.frontier.fit"], "in_window", lambda cleaned, options: cleaned)
    fits = fit_families(sweep([0.06] * 4), law="additive", bootstraps=0)
    for found in fits.values():
        (told,) = (one.sentence for one in found.status.findings if one.kind is Kind.TRANSITION)
        assert "so do those of 3 other families" in told


def test_the_curvature_of_runs_is_that_of_a_parabola_and_short_runs_have_none():
    data = np.tile(np.geomspace(1.0, 8.0, 4), 2)
    unit = np.repeat([0, 1], 4)
    curvature, reach = run_curvatures(-0.1 * np.log(data) ** 2, unit, data)
    np.testing.assert_allclose(curvature, -0.1)
    np.testing.assert_allclose(reach, np.log(8) / 2)
    assert run_curvatures(np.zeros(6), np.repeat([0, 1], 3), np.tile([1.0, 3.0, 9.0], 2))[0].size == 0
    assert steepening_p_value(np.array([-1.0, -1.1, -0.9])) < 0.01
    assert steepening_p_value(np.array([1.0, 1.1, 0.9])) > 0.99
    assert steepening_p_value(np.array([0.1, -0.1])) == pytest.approx(0.5)
