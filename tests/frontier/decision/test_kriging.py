"""The loss of a family at a compute by kriging: covariances in closed form, and what points do to its variance."""

import numpy as np
import pytest
from racing import COMPUTE, FLAT, STEEP, candidates, grid, points
from scipy import integrate

from raysweep.frontier.decision.comparison import ComparedAt
from raysweep.frontier.decision.decide import fits_of
from raysweep.frontier.decision.errors import ErrorForm, PointLayout, bending, noise_of
from raysweep.frontier.decision.kriging import BEYOND, MOST_POINTS, FamilyLaws, FamilyPoints, TargetCovariance
from raysweep.frontier.points.readers import as_table

AT = ComparedAt(flops=COMPUTE)
FORM = ErrorForm(slope=-0.3, memory=2.0, white=0.1, misfit=0.3, drift=1.0)


def optimum(law):
    params = np.exp(np.linspace(0, 20, 20001))
    asymptote, a, alpha, b, beta = law
    return float(np.min(asymptote + a * params**-alpha + b * (COMPUTE / 6 / params) ** -beta))


def fit_of(table, family="flat"):
    return fits_of(as_table(table), [family], {"window": "all"})[family]


def test_drift_has_the_covariance_of_an_integrated_wiener_process():
    for one, other in ((0.7, 2.0), (-1.5, -0.4), (1.0, -1.0)):
        least = min(abs(one), abs(other))
        wanted, _ = integrate.quad(lambda u: (abs(one) - u) * (abs(other) - u), 0, least)  # noqa: B023
        wanted = wanted if one * other > 0 else 0.0
        assert bending(np.array([one]), np.array([other])).item() == pytest.approx(wanted, rel=1e-12)


def test_runs_are_independent_and_a_run_remembers_its_deviation():
    layout = PointLayout(places=np.array([[0.0, 1.0], [0.0, 3.0], [0.0, 3.0]]), run=np.array([0, 0, 1]))
    found = noise_of(FORM, layout)
    assert found[0, 1] == pytest.approx(0.9 * np.exp(-1.0))
    assert found[0, 2] == 0.0
    assert np.diag(found) == pytest.approx(np.ones(3))


def test_points_without_noise_give_the_laws_own_loss():
    table = grid({"flat": FLAT, "steep": STEEP}, noise=0.0)
    for name, law in (("flat", FLAT), ("steep", STEEP)):
        found = FamilyLaws(fit_of(table, name), AT, float(np.log(5e3))).solve(FORM)
        assert found.mean == pytest.approx(np.log(optimum(law)), abs=1e-3)


def test_a_compute_beyond_the_dearest_run_adds_its_share_of_what_is_reducible():
    table = grid({"flat": FLAT}, noise=0.0)
    dearest = max(table["flops"])
    family = FamilyLaws(fit_of(table), ComparedAt(flops=4 * dearest), float(np.log(5e3)))
    reducible = max(1.0 - float(law.surface.E) / np.exp(law.predicted) for law in family.laws)
    assert np.sqrt(family.beyond(dearest)) == pytest.approx(BEYOND * reducible * np.log(4.0))
    assert family.beyond(4 * dearest) == 0.0


def test_a_new_run_lowers_the_variance_and_a_second_point_of_it_by_less_than_a_run_of_its_own():
    family = FamilyPoints(fit_of(points({"flat": FLAT}, candidates(["flat"])[::6], noise=0.02)), AT, 8.5)
    sizes, data = np.full(3, 9e3), np.array([16e6, 32e6, 32e6])
    joint = TargetCovariance(family, FORM, family.lay(sizes, data, np.array([0, 0, 1])))
    alone, same, apart = (joint.fall(np.array(rows)) for rows in ([1], [1, 2], [1, 3]))
    assert 0 < alone < same < apart < joint.variance
    before = joint.variance
    joint.measure(np.array([1, 3]))
    assert joint.variance == pytest.approx(before - apart, rel=1e-6)


def test_many_points_are_thinned_along_every_run():
    table = grid({"flat": FLAT}, seeds=2)
    many = {name: np.repeat(values, 12) for name, values in table.items()}
    many["data"] = many["data"] * np.tile(np.geomspace(0.5, 1.0, 12), len(table["data"]))
    family = FamilyPoints(fit_of(many), AT, 8.5)
    assert family.samples.count <= MOST_POINTS
    assert set(family.samples.trajectory) == set(table["trial_id"])
