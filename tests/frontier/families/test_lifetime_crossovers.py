"""Crossings of two families in the cost of training and inference together."""

from dataclasses import replace

import numpy as np
import pytest
from surfaces import surface

from raysweep.core.errors import FrontierError
from raysweep.frontier import crossovers, fit
from raysweep.frontier.families.fits import FamilyFits

FRUGAL = {"E": 0.05, "A": 4.0, "alpha": 0.40, "B": 30.0, "beta": 0.35}
PRECISE = {"E": 0.05, "A": 8.0, "alpha": 0.55, "B": 60.0, "beta": 0.48}
FLOPS = {"frugal": 10.0, "precise": 400.0}  # training FLOPs of an atom for each parameter, three times those of a step


def family(name, law, seed, **changes):
    grid = np.meshgrid(np.geomspace(1e3, 1e5, 5), (0, 1), np.geomspace(1e5, 1e8, 6), indexing="ij")
    params, run, data = (axis.ravel() for axis in grid)
    noise = np.exp(0.005 * np.random.default_rng(seed).normal(size=params.size))
    points = {"params": params, "data": data, "flops": FLOPS[name] * params * data, "seed": run}
    points["loss"] = surface(law, params, data) * noise
    points["inference_flops"] = FLOPS[name] / 3 * params
    points["trajectory"] = [f"{size:.0f}-{seed:.0f}" for size, seed in zip(params, run, strict=True)]
    return fit(points | changes, bootstraps=100, law="additive", window="all")


@pytest.fixture(scope="module")
def fits():
    return {"frugal": family("frugal", FRUGAL, 0), "precise": family("precise", PRECISE, 1)}


def true_loss(name, law, steps, totals):
    """The lowest loss at each total cost, over a fine grid of sizes."""
    sizes = np.geomspace(1e-2, 1e8, 10_001)
    left = totals[:, None] - steps * FLOPS[name] / 3 * sizes
    data = np.where(left > 0, left, np.nan) / (FLOPS[name] * sizes)
    return np.nanmin(surface(law, sizes, data), axis=1)


def true_crossing(steps):
    totals = np.geomspace(1e10, 1e17, 401)
    gap = true_loss("frugal", FRUGAL, steps, totals) - true_loss("precise", PRECISE, steps, totals)
    (place,) = np.flatnonzero(np.sign(gap[:-1]) != np.sign(gap[1:]))
    return totals[place]


@pytest.mark.parametrize("steps", [1e6, 1e8])
def test_families_cross_where_their_lowest_losses_at_a_total_cost_do(fits, steps):
    (found,) = crossovers(fits, reach=10, inference_steps=steps)
    true = true_crossing(steps)
    assert (found.before, found.after) == ("frugal", "precise")
    assert found.flops.value == pytest.approx(true, rel=0.3)
    assert found.flops.interval.low < true < found.flops.interval.high
    assert found.share > 0.9
    assert "of training and inference" in found.sentence
    for lead in found.leads:
        assert lead.family == ("frugal" if lead.flops < found.flops.value else "precise")
        assert lead.probability > 0.5
    swapped = crossovers(dict(reversed(fits.items())), reach=10, inference_steps=steps)[0]
    assert swapped.flops.value == pytest.approx(found.flops.value, rel=1e-6)


def test_with_hardly_any_inference_families_cross_where_they_do_without(fits):
    (plain,), (used,) = crossovers(fits, reach=10), crossovers(fits, reach=10, inference_steps=1e-3)
    assert used.flops.value == pytest.approx(plain.flops.value, rel=1e-3)
    np.testing.assert_allclose(list(used.flops.interval), list(plain.flops.interval), rtol=0.05)
    assert used.inside == plain.inside
    assert "training and inference" not in plain.sentence
    assert FamilyFits(fits).crossovers(reach=10, inference_steps=1e-3) == [used]


def test_much_inference_moves_the_crossing_to_larger_total_costs(fits):
    places = [crossovers(fits, reach=10, inference_steps=steps)[0].flops.value for steps in (0.0, 1e7, 1e9)]
    assert places == sorted(places)
    assert places[2] > 100 * places[0]


def test_what_counts_as_run_follows_the_training_not_the_total_cost(fits):
    (found,) = crossovers(fits, reach=10, inference_steps=1e9)
    inside = [lead for lead in found.leads if lead.inside]
    assert len(inside) == 2
    for lead in inside:
        for one in fits.values():
            training = one.optimal(lead.flops, inference_steps=1e9).lifetime.training.value
            assert 0.99 * one.samples.cost.min() <= training <= 1.01 * one.samples.cost.max()


def test_the_cost_of_inference_has_to_be_known_for_each_family(fits):
    seconds = {name: replace(one, cost_name="seconds") for name, one in fits.items()}
    with pytest.raises(FrontierError, match="need a column md_ms_1000"):
        crossovers(seconds, inference_steps=1e6)
    with pytest.raises(FrontierError, match=r"crossovers\(inference_steps=-1\)"):
        crossovers(fits, inference_steps=-1)
