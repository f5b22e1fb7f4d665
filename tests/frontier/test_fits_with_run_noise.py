"""Fits of points that share trajectories: the noise of runs in estimates, intervals, predictions, JSON and findings."""

import json

import numpy as np
import pytest
from surfaces import CHINCHILLA, optimum, surface

from raysweep.frontier import checklist, compare, fit, fit_families, from_json, to_json
from raysweep.frontier.points.findings import Kind


def table(*, families=2, sizes=4, seeds=1, budgets=7, share=0.9, noise=0.005, slope=0.0, seed=0):
    """Return points of several families on Chinchilla's law; `share` of the noise's variance is common to a run."""
    generator = np.random.default_rng(seed)
    runs = families * sizes * seeds
    params = np.tile(np.repeat(np.geomspace(1e7, 10**10.5, sizes), seeds * budgets), families)
    data = np.tile(np.geomspace(1e9, 10**12.5, budgets), runs)
    run = np.repeat(np.arange(runs), budgets)
    errors = np.sqrt(1 - share) * generator.normal(size=run.size) + np.sqrt(share) * generator.normal(size=runs)[run]
    loss = surface(CHINCHILLA, params, data) * np.exp(noise * (params / 1e9) ** slope * errors)
    names = np.array([f"family {one // (sizes * seeds)}" for one in run])
    return {
        "params": params,
        "data": data,
        "flops": 6 * params * data,
        "loss": loss,
        "trajectory": run,
        "architecture": names,
    }


def only(points, family=0):
    chosen = points["architecture"] == f"family {family}"
    return {name: values[chosen] for name, values in points.items()}


def test_families_share_the_form_of_their_noise_and_one_alone_has_its_own():
    points = table()
    fits, alone = fit_families(points, bootstraps=60), fit(only(points), bootstraps=60)
    assert {one.run_noise.families for one in fits.values()} == {2}
    assert len({(one.run_noise.memory, one.run_noise.slope, one.run_noise.white) for one in fits.values()}) == 1
    assert alone.run_noise.families == 1
    (sentence,) = (one.sentence for one in fits["family 0"].status.findings if one.kind is Kind.RUN_NOISE)
    assert "those of 1 other families" in sentence
    assert "one seed per size" in sentence


def test_intervals_cover_where_four_families_have_one_seed_of_four_sizes():
    truth = np.array([CHINCHILLA["beta"] / (CHINCHILLA["alpha"] + CHINCHILLA["beta"]), optimum(CHINCHILLA, 6e23)[2]])
    inside, count = np.zeros(2), 0
    for seed in range(4):
        for one in fit_families(table(families=4, share=0.5, seed=seed), bootstraps=128).values():
            low, high = np.array([[*one.interval("a")], [*one.interval("optimal_loss", flops=6e23)]]).T
            inside += (low <= truth) & (truth <= high)
            count += 1
    assert np.all(inside >= 0.75 * count), inside / count


def test_points_weigh_what_they_tell():
    found = {"together": [], "points": []}
    for seed in range(12):
        points = only(table(families=1, share=0.95, seeds=2, seed=seed))
        independent = {name: values for name, values in points.items() if name != "trajectory"}
        found["together"].append(fit(points, bootstraps=0).params_exponent)
        found["points"].append(fit(independent, bootstraps=0).params_exponent)
    truth = CHINCHILLA["beta"] / (CHINCHILLA["alpha"] + CHINCHILLA["beta"])
    together, single = (np.sqrt(np.mean((np.array(found[name]) - truth) ** 2)) for name in ("together", "points"))
    assert together < 0.9 * single  # .64 were the noise known


def test_the_prediction_of_a_run_has_the_noise_of_its_size():
    found = fit(only(table(sizes=6, seeds=3, slope=-0.3, share=0.5)), bootstraps=200)
    assert found.run_noise.slope == pytest.approx(-0.3, abs=0.06)
    widths = []
    for params in (1e7, 1e10):
        answer = found.loss(params, 1e11)
        widths.append(np.log(answer.interval.high / answer.interval.low))
        assert widths[-1] > 2 * 1.9 * found.run_noise.at(params)
    assert widths[0] > 4 * widths[1]


def test_json_keeps_the_noise_and_fits_without_it_have_no_such_key():
    points = only(table(sizes=4))
    found = fit(points, bootstraps=60)
    back = from_json(to_json(found))
    assert back.run_noise == found.run_noise
    assert back.interval("a") == found.interval("a")
    assert back.loss(1e9, 1e11) == found.loss(1e9, 1e11)
    assert back.influence == found.influence
    assert "draws of the noise of 4 trajectories" in checklist(back)
    single = fit({name: values for name, values in points.items() if name != "trajectory"}, bootstraps=0)
    assert "run_noise" not in json.loads(to_json(single))
    assert single.run_noise is None


@pytest.mark.parametrize("settings", [{"loss_delta": 0.01}, {"purpose": "prediction"}, {"method": "isoflop"}])
def test_where_single_points_are_weighed_by_name_or_valleys_fitted_trajectories_are_drawn(settings):
    points = only(table(sizes=4, budgets=7))
    points["flops"] = np.tile(np.geomspace(1e18, 1e22, 7), 4)
    found = fit({**points, "data": points["flops"] / 6 / points["params"]}, bootstraps=60, **settings)
    assert found.run_noise is None
    assert not found.status.found(Kind.RUN_NOISE)


def test_the_comparison_of_approaches_leaves_the_noise_to_their_common_resamples():
    found = compare(only(table(sizes=5)), bootstraps=60)
    assert {one.run_noise for one in found.fits.values()} == {None}
