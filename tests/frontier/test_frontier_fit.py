"""The fits: exact on noise-free surfaces, at the known optimum on Chinchilla's points."""

import numpy as np
import pytest
from surfaces import CHINCHILLA, chinchilla, optimum, surface, valleys

from raysweep.core.errors import FrontierError
from raysweep.frontier import checklist, fit, fit_families, from_json, to_json
from raysweep.frontier.laws.forms import ALPHA, BETA, LAWS, LOG_A, LOG_B, E, Form, LawForm
from raysweep.frontier.points.findings import Kind

STEEP = {"E": 1.8, "A": 2000.0, "alpha": 0.6, "B": 30.0, "beta": 0.2}


@pytest.mark.parametrize("law", [CHINCHILLA, STEEP])
@pytest.mark.parametrize("drift", [0.0, 0.4])
def test_a_noise_free_surface_gives_all_five_parameters_to_1e_6(law, drift):
    found = fit(valleys(law, drift=drift), bootstraps=0)
    for name, true in law.items():
        assert getattr(found.law, name) == pytest.approx(true, rel=1e-6), name
    assert found.status.ok
    assert found.starts_agreeing == found.starts


@pytest.mark.parametrize("law", [CHINCHILLA, STEEP])
@pytest.mark.parametrize("drift", [0.0, 0.4])
def test_isoflop_is_unbiased_on_wide_and_drifting_valleys(law, drift):
    found = fit(valleys(law, window=16, drift=drift), method="isoflop", bootstraps=0)
    params, _, loss = optimum(law, 1e24)
    answer = found.optimal(flops=1e24)
    assert answer.params.value == pytest.approx(params, rel=0.02)
    assert answer.loss.value == pytest.approx(loss, rel=0.005)


def test_chinchillas_points_give_the_known_optimum():
    found = fit(chinchilla(), loss_delta=1e-3, bootstraps=0, law="additive")
    assert found.objective <= 1.0182741e-3
    assert found.params_exponent == pytest.approx(0.51390, abs=1e-4)
    assert pytest.approx(1.817218, abs=1e-5) == found.law.E
    assert found.law.alpha == pytest.approx(0.347310, abs=1e-5)
    assert found.law.beta == pytest.approx(0.367172, abs=1e-5)
    assert found.gradient_norm < 1e-8
    assert found.starts_agreeing >= 0.95 * found.starts


def test_chinchillas_bootstrap_intervals_are_the_published_ones():
    found = fit(chinchilla(), loss_delta=1e-3, bootstraps=1000, law="additive")
    published = {"E": (1.769, 1.871), "A": (285, 744), "alpha": (0.317, 0.373), "beta": (0.331, 0.415)}
    for name, (low, high) in published.items():
        got = found.interval(name, method="percentile")
        assert got.low == pytest.approx(low, rel=0.05), name
        assert got.high == pytest.approx(high, rel=0.05), name


def test_the_optimum_lies_on_the_cost_and_is_flat():
    found = fit(valleys(CHINCHILLA), bootstraps=0)
    best = found.optimal(flops=1e21, regret=0.01)
    assert 6 * best.params.value * best.data.value == pytest.approx(1e21, rel=1e-9)
    low, high = best.params_range
    assert low < best.params.value < high
    for params in best.params_range:
        assert found.loss(params, 1e21 / 6 / params).value == pytest.approx(1.01 * best.loss.value, rel=1e-6)
    assert found.compute_for(loss=best.loss.value).value == pytest.approx(1e21, rel=1e-6)


def test_a_measured_cost_bends_the_frontier_as_its_own_powers_say():
    points = valleys(CHINCHILLA)
    points["flops"] = 40.0 * points["params"] ** 1.2 * points["data"]
    found = fit(points, bootstraps=0)
    a, b = CHINCHILLA["alpha"], CHINCHILLA["beta"]
    assert found.params_exponent == pytest.approx(b / (a + 1.2 * b), rel=1e-5)
    best = found.optimal(flops=1e24)
    assert 40.0 * best.params.value**1.2 * best.data.value == pytest.approx(1e24, rel=1e-5)
    around = best.params.value * np.array([0.99, 1.01])
    for params in around:
        assert found.loss(params, 1e24 / 40 / params**1.2).value > best.loss.value


def two_families():
    points = valleys(CHINCHILLA)
    both = {name: np.concatenate([values, values]) for name, values in points.items()}
    return {**both, "architecture": ["mpnn"] * 40 + ["egnn"] * 40}


def test_each_family_has_its_fit():
    found = fit_families(two_families(), bootstraps=0)
    assert list(found) == ["mpnn", "egnn"]
    assert [one.architecture for one in found.values()] == ["mpnn", "egnn"]
    assert found["egnn"].law == found["mpnn"].law


def test_one_fit_of_several_families_is_refused_and_the_error_names_the_other_function():
    with pytest.raises(FrontierError, match=r"2 families \(mpnn, egnn\); fit_families takes them all"):
        fit(two_families(), bootstraps=0)
    with pytest.raises(FrontierError, match=r"no column architecture \(or family\); use fit$"):
        fit_families(valleys(CHINCHILLA), bootstraps=0)


def test_a_table_that_names_its_one_family_gives_one_fit():
    points = {**valleys(CHINCHILLA), "family": ["egnn"] * 40}
    found = fit(points, bootstraps=0)
    assert found.architecture == "egnn"
    assert to_json(found) == to_json(fit_families(points, bootstraps=0)["egnn"])


def test_rows_to_leave_out_are_those_of_the_whole_table():
    found = fit_families(two_families(), exclude=[2, 41], bootstraps=0)
    assert [[item.row for item in one.excluded] for one in found.values()] == [[2], [41]]


def test_the_same_seed_gives_the_same_bits():
    points = valleys(CHINCHILLA, noise=0.005)
    assert to_json(fit(points, bootstraps=100)) == to_json(fit(points, bootstraps=100))


def test_the_checklist_names_what_a_reader_needs():
    text = checklist(fit(valleys(CHINCHILLA, noise=0.005), bootstraps=60))
    for item in ("form", "delta", "starts", "gradient norm", "intervals", "held-out error", "versions", "digest"):
        assert f"\n{item}" in text
    assert "E + A N^-alpha + B D^-beta" in text


def test_repeated_data_are_worth_what_the_law_says():
    generator = np.random.default_rng(0)
    params, unique = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e8, 1e10, 5), [1e9, 1e10, 1e11]))
    epochs = generator.choice([1.0, 4.0, 16.0, 60.0], params.size * 3)
    params, unique = np.tile(params, 3), np.tile(unique, 3)
    data = unique * epochs
    worth = unique + unique * 15.0 * (1 - np.exp(-(epochs - 1) / 15.0))
    loss = surface(CHINCHILLA, params, worth)
    points = {"params": params, "data": data, "flops": 6 * params * data, "loss": loss, "unique_data": unique}
    found = fit(points, law="data_constrained", bootstraps=0)
    assert found.law.repeats == pytest.approx(15.0, rel=1e-3)
    assert found.law.alpha == pytest.approx(CHINCHILLA["alpha"], rel=1e-3)
    assert found.loss(1e9, 4e10, unique_data=1e10).value == pytest.approx(
        float(surface(CHINCHILLA, 1e9, 1e10 + 1.5e11 * (1 - np.exp(-3 / 15)))), rel=1e-4
    )
    free, held = found.optimal(flops=1e21), found.optimal(flops=1e21, unique_data=1e9)
    assert held.params.value > free.params.value
    assert held.loss.value > free.loss.value
    noisy = {**points, "loss": loss * np.exp(0.002 * generator.normal(size=loss.size))}
    drawn = fit(noisy, law="data_constrained", bootstraps=60)
    assert 15.0 in drawn.interval("repeats")
    assert drawn.interval("repeats").width > 0.1
    short = drawn.optimal(flops=1e21, unique_data=1e9)
    assert short.params.interval.low < held.params.value < short.params.interval.high
    assert from_json(to_json(drawn)).law == drawn.law
    assert fit({**points, "data": unique}, law="data_constrained", bootstraps=0).status.found(Kind.NO_REPEATS)


@pytest.mark.parametrize("law", ["tied", "params", "data"])
def test_the_smaller_laws_are_exact_on_their_own_surfaces(law):
    points = valleys(CHINCHILLA)
    params, data = points["params"], points["data"]
    points["loss"] = {
        "tied": 1.8 + 400 * params**-0.35 + 900 * data**-0.35,
        "params": 1.8 + 400 * params**-0.35,
        "data": 1.8 + 900 * data**-0.35,
    }[law]
    found = fit(points, law=law, bootstraps=60)
    exponent = found.law.beta if law == "data" else found.law.alpha
    assert exponent == pytest.approx(0.35, rel=1e-6)
    told = found.loss(float(params[7]), float(data[7]))
    assert told.value == pytest.approx(points["loss"][7], rel=1e-9)
    assert told.value in told.interval
    assert "nan" not in str(found.law)
    assert pytest.approx(1.8, rel=1e-6) == found.law.E
    assert to_json(from_json(to_json(found))) == to_json(found)


def test_a_law_that_ties_the_exponents_in_another_ratio_is_an_entry_alone(monkeypatch):
    free = (((E, 1.0),), ((LOG_A, 1.0),), ((ALPHA, 1.0), (BETA, 0.5)), ((LOG_B, 1.0),))
    halved = LawForm(formula="L(N, D) = E + A N^-alpha + B D^-(alpha/2)", free=free)
    monkeypatch.setitem(LAWS, "halved", halved)
    points = valleys(CHINCHILLA)
    points["loss"] = 1.8 + 400 * points["params"] ** -0.4 + 60 * points["data"] ** -0.2
    found = fit(points, law="halved", bootstraps=0)
    assert found.status.usable, found.status
    assert (found.law.alpha, found.law.beta) == pytest.approx((0.4, 0.2), rel=1e-6)


def test_the_frontier_along_costs_has_bands_for_figures():
    found = fit(valleys(CHINCHILLA, noise=0.004), bootstraps=200)
    costs = np.geomspace(1e18, 1e24, 7)
    line = found.curve(costs)
    params, data, loss = optimum(CHINCHILLA, costs)
    for band, true in ((line.params, params), (line.data, data), (line.loss, loss)):
        assert np.all(band.low < band.value)
        assert np.all(band.value < band.high)
        assert np.mean((band.low < true) & (true < band.high)) >= 0.7
    assert line.loss.high[-1] / line.loss.low[-1] > line.loss.high[3] / line.loss.low[3]


def test_influence_names_the_point_that_moves_the_exponent():
    points = valleys(CHINCHILLA, noise=0.002)
    points["loss"][0] *= 1.02
    found = fit(points, loss_delta=0.1, bootstraps=60)
    assert found.influence[0].rows == (0,)
    assert abs(found.influence[0].shift) > abs(found.influence[5].shift)


@pytest.mark.parametrize("law", LAWS)
def test_every_law_frees_the_asymptote_first_and_each_other_parameter_once(law):
    places = [place for together in LAWS[law].free for place, _ in together]
    assert places[0] == 0
    assert len(places) == len(set(places)) <= LAWS[law].directions.shape[0]
    assert np.linalg.matrix_rank(LAWS[law].directions) == len(LAWS[law].free)
    assert Form(law=law).parameters == Form(law=law, asymptote=1.0).parameters + 1
