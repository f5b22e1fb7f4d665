"""Units that do not fit, repeats that a law does not know, an R* that the points do not show."""

import numpy as np
import pytest
from surfaces import CHINCHILLA, surface, valleys

from raysweep.core.errors import FrontierError
from raysweep.frontier import fit
from raysweep.frontier.laws.laws import effective_data
from raysweep.frontier.points.findings import Kind

POINTS = valleys(CHINCHILLA, noise=0.005)
METHODS = ("parametric", "isoflop", "envelope")


def sentence(points, kind, **settings):
    found = fit(points, bootstraps=0, **settings)
    return next((one.sentence for one in found.status.findings if one.kind is kind), None)


@pytest.mark.parametrize(
    ("name", "unit", "guess"),
    [
        ("data", 1e6, "D in millions"),
        ("data", 1e9, "D in billions"),
        ("params", 1e9, "N in billions"),
        ("params", 1e3, "N in thousands"),
        ("flops", 8.64e19, "C in PF-days"),
        ("flops", 1e18, "C in EFLOP or C in GPU hours"),
        ("flops", 4e17, "GPU hours"),
        ("flops", 1e9, "C in GFLOP"),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_a_column_in_another_unit_is_found_with_its_likely_unit(name, unit, guess, method):
    found = sentence({**POINTS, name: POINTS[name] / unit}, Kind.COST_IMPLAUSIBLE, method=method)
    assert found is not None
    assert guess in found
    assert f"C / (6 N D) is {unit if name != 'flops' else 1 / unit:.2g}," in found


@pytest.mark.parametrize("ratio", [0.2, 2, 6, 16.8, 79, 225, 750, 1500, 2e4])
def test_no_cost_of_a_real_training_is_called_implausible(ratio):
    points = {**POINTS, "flops": ratio * POINTS["params"] ** 0.97 * POINTS["data"] * 1.8}
    assert sentence(points, Kind.COST_IMPLAUSIBLE) is None
    assert sentence({**points, "seconds": points["flops"] / 1e15}, Kind.COST_IMPLAUSIBLE, cost="seconds") is None


def test_n_and_d_that_stand_for_each_other_are_told():
    swapped = {**POINTS, "params": POINTS["data"], "data": POINTS["params"]}
    assert "are the two columns swapped?" in sentence(swapped, Kind.COST_IMPLAUSIBLE)
    assert fit(swapped, bootstraps=0).status.ok


def repeated(repeats, epochs=(1, 4, 16, 60), seed=0):
    params, unique = (part.ravel() for part in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(1e8, 1e10, 3)))
    params, unique = np.tile(params, len(epochs)), np.tile(unique, len(epochs))
    data = unique * np.repeat(epochs, 15)
    noisy = np.exp(0.002 * np.random.default_rng(seed).normal(size=params.size))
    worth = unique if repeats == 0 else effective_data(data, unique, repeats)
    loss = surface(CHINCHILLA, params, worth) * noisy
    return {"params": params, "data": data, "flops": 6 * params * data, "loss": loss, "unique_data": unique}


def test_an_r_star_at_its_bound_is_said():
    assert "R*" not in str(sentence(repeated(15.0), Kind.BOUND_ACTIVE, law="data_constrained"))
    large = sentence(repeated(np.inf, seed=1), Kind.BOUND_ACTIVE, law="data_constrained")
    assert "R*" in large
    assert "teach as much as new data" in large
    small = sentence(repeated(0), Kind.BOUND_ACTIVE, law="data_constrained")
    assert "R*" in small
    assert "add nothing" in small


@pytest.mark.parametrize("law", ["additive", "tied", "data"])
def test_repeats_under_a_law_that_does_not_know_them_are_a_caution(law):
    points = repeated(15.0)
    assert "45 points repeat their data, up to 60 times" in sentence(points, Kind.REPEATS_IGNORED, law=law)
    assert sentence(points, Kind.REPEATS_IGNORED, law="params") is None
    once = repeated(15.0, epochs=(1, 1, 1, 1))
    assert sentence({**once, "data": once["data"] * 1.01}, Kind.REPEATS_IGNORED, law=law) is None


def test_distinct_data_asked_of_a_law_that_ignores_them_are_refused():
    found = fit(POINTS, bootstraps=0)
    for query in (lambda: found.loss(1e9, 1e12, unique_data=1e9), lambda: found.optimal(1e21, unique_data=1e9)):
        with pytest.raises(FrontierError, match="law='data_constrained'"):
            query()
    known = fit(repeated(15.0), law="data_constrained", bootstraps=0)
    assert known.loss(1e9, 1e12, unique_data=1e9).value > 1.01 * known.loss(1e9, 1e12).value
    for wrong in (0, -1, np.nan, "all"):
        with pytest.raises(FrontierError, match="unique_data"):
            known.loss(1e9, 1e12, unique_data=wrong)


def test_points_that_name_no_distinct_amount_have_all_of_it():
    points = repeated(15.0)
    points["unique_data"] = np.where(points["data"] == points["unique_data"], np.nan, points["unique_data"])
    want = fit(repeated(15.0), law="data_constrained", bootstraps=0).law.repeats
    assert fit(points, law="data_constrained", bootstraps=0).law.repeats == pytest.approx(want, rel=1e-6)
    points["unique_data"][0] = -1.0
    assert [one.row for one in fit(points, bootstraps=0).excluded] == [0]
