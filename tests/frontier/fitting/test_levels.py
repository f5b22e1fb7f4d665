"""Which sizes and amounts of data determine which law."""

import numpy as np
import pytest
from samples_for import samples_for
from surfaces import CHINCHILLA, surface

from raysweep.frontier import fit
from raysweep.frontier.fitting.levels import determined, levels
from raysweep.frontier.laws.forms import Form
from raysweep.frontier.points.findings import Kind


def grid(sizes, amounts, noise=0.0):
    params, data = (part.ravel() for part in np.meshgrid(sizes, amounts))
    noisy = np.exp(noise * np.random.default_rng(0).normal(size=params.size))
    loss = surface(CHINCHILLA, params, data) * noisy
    return {"params": params, "data": data, "flops": 6 * params * data, "loss": loss}


def spread(count):
    return np.geomspace(1e8, 1e10, count)


def test_values_that_differ_by_the_rounding_of_batches_are_one_level():
    assert levels(np.array([5.0e9, 1e8, 5.02e9, 1e8, 4.98e9, 7e9])).tolist() == [1, 0, 1, 0, 1, 2]
    assert levels(np.geomspace(1, 2, 100)).max() + 1 > 20  # fine steps do not chain into one
    assert levels(np.array([])).size == 0


E0 = CHINCHILLA["E"]


@pytest.mark.parametrize(
    ("law", "asymptote", "sizes", "amounts", "kind"),
    [
        ("additive", "free", 8, 2, Kind.TWO_DATA_ONLY),
        ("additive", "free", 2, 8, Kind.TWO_SIZES_ONLY),
        ("additive", "free", 3, 3, None),
        ("additive", E0, 8, 2, None),
        ("additive", E0, 2, 8, None),
        ("additive", E0, 3, 2, None),
        ("additive", E0, 2, 2, Kind.TOO_FEW_LEVELS),
        ("additive", "free", 8, 1, Kind.ONE_DATA_ONLY),
        ("tied", "free", 3, 2, None),
        ("tied", "free", 2, 2, Kind.TOO_FEW_LEVELS),
        ("tied", E0, 2, 2, None),
        ("data", "free", 8, 2, Kind.TWO_DATA_ONLY),
        ("data", E0, 8, 2, None),
        ("data", E0, 8, 1, Kind.ONE_DATA_ONLY),
        ("params", "free", 2, 8, Kind.TWO_SIZES_ONLY),
        ("params", E0, 2, 8, None),
        ("params", "free", 3, 1, None),
    ],
)
def test_two_sizes_or_two_amounts_are_refused_unless_what_is_held_makes_the_law_determined(
    law, asymptote, sizes, amounts, kind
):
    copies = {name: np.tile(values, 3) for name, values in grid(spread(sizes), spread(amounts)).items()}
    copies["loss"] = copies["loss"] * np.repeat([1.0, 1 + 1e-6, 1 - 1e-6], copies["loss"].size // 3)
    found = fit(copies, law=law, asymptote=asymptote, bootstraps=0)
    assert found.status.usable is (kind is None), found.status
    if kind is not None:
        assert found.status.kind is kind


def test_two_amounts_that_scatter_by_the_rounding_of_batches_are_still_two():
    points = grid(spread(8), [5e9, 5e10])
    points["data"] = points["data"] * (1 + 0.005 * np.random.default_rng(0).uniform(-1, 1, 16))
    assert fit(points, bootstraps=0).status.kind is Kind.TWO_DATA_ONLY


def test_data_per_parameter_that_scatters_by_rounding_is_lockstep():
    params = spread(12)
    data = 20 * params * (1 + 0.004 * np.random.default_rng(0).uniform(-1, 1, 12))
    points = {"params": params, "data": data, "flops": 6 * params * data, "loss": surface(CHINCHILLA, params, data)}
    assert fit(points, bootstraps=0).status.kind is Kind.DEPENDENT_DESIGN


def test_the_data_constrained_law_counts_amounts_with_their_distinct_part():
    points = grid(spread(4), [4e9, 16e9, 64e9])
    once = {**points, "unique_data": np.full(12, 4e9)}
    form = Form(law="data_constrained")
    assert not determined(samples_for(once), form, np.ones((1, 12)))[0]
    assert fit(once, law="data_constrained", bootstraps=0).status.kind is Kind.TOO_FEW_LEVELS
    mixed = {**points, "unique_data": np.where(np.arange(12) % 2, 4e9, 64e9)}
    assert determined(samples_for(mixed), form, np.ones((1, 12)))[0]


def test_resamples_that_leave_two_sizes_or_amounts_give_no_draw():
    samples = samples_for(grid(spread(3), spread(3)))
    weights = np.ones((3, 9))
    weights[1, samples.data == samples.data[0]] = 0.0
    weights[2, 4:] = 0.0
    assert determined(samples, Form(), weights).tolist() == [True, False, False]
    found = fit(grid(spread(3), spread(3), 0.001), bootstraps=400)
    assert 100 < found.draw_ids.size < 360


@pytest.mark.parametrize(
    ("law", "asymptote", "points"), [("data", "free", 4), ("data", E0, 3), ("params", "free", 4), ("params", E0, 3)]
)
def test_laws_of_few_parameters_need_one_point_more_than_they_have(law, asymptote, points):
    along = spread(points)
    given = grid([1e9], along) if law == "data" else grid(along, [1e10])
    given["loss"] = E0 + 500 * along**-0.35
    found = fit(given, law=law, asymptote=asymptote, bootstraps=0)
    assert (found.law.beta if law == "data" else found.law.alpha) == pytest.approx(0.35, rel=1e-4)
    fewer = fit({name: values[1:] for name, values in given.items()}, law=law, asymptote=asymptote, bootstraps=0)
    assert fewer.status.kind is Kind.TOO_FEW_POINTS
    assert f"needs {points} points or more" in fewer.status.sentence


@pytest.mark.parametrize(
    ("law", "sizes", "amounts", "enough"),
    [
        ("coupled", 3, 3, True),
        ("coupled", 3, 2, False),
        ("broken_params", 5, 3, True),
        ("broken_params", 4, 8, False),
        ("broken_data", 3, 5, True),
        ("broken_data", 8, 4, False),
        ("offset", 3, 4, True),
        ("offset", 8, 3, False),
        ("offset", 3, 2, False),
    ],
)
def test_laws_of_more_parameters_need_more_sizes_or_amounts(law, sizes, amounts, enough):
    samples = samples_for(grid(spread(sizes), spread(amounts)))
    assert determined(samples, Form(law=law), np.ones((1, samples.count)))[0] == enough
    if not enough:
        tripled = {name: np.tile(values, 3) for name, values in grid(spread(sizes), spread(amounts)).items()}
        tripled["loss"] = tripled["loss"] * np.repeat([1.0, 1 + 1e-6, 1 - 1e-6], samples.count)
        refused = (Kind.TWO_DATA_ONLY, Kind.TOO_FEW_LEVELS)
        assert fit(tripled, law=law, bootstraps=0).status.kind in refused
