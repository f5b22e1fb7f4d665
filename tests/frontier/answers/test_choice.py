"""The choice of a law: by the prediction of larger runs, and only where the points contradict the additive law."""

import numpy as np
import pytest

from raysweep.frontier import fit, from_json, to_json
from raysweep.frontier.answers.choice import MARGIN, choose, rolling_origins
from raysweep.frontier.answers.choosing_again import chosen_again, together
from raysweep.frontier.answers.prediction import noise_half_width
from raysweep.frontier.answers.reservation import BENDS
from raysweep.frontier.laws.forms import Form
from raysweep.frontier.points.findings import Kind

E, A, ALPHA, B, BETA = 1.8172, 477.83, 0.34731, 2143.4, 0.36717


def points(coupling=1.0, bend=0.0, place=1e10, noise=0.003, seed=0):
    """A grid of 7 sizes and 7 amounts of data about a law with coupled terms or an exponent of D that changes."""
    params, data = (axis.ravel() for axis in np.meshgrid(np.geomspace(5e7, 2e9, 7), np.geomspace(2e9, 8e10, 7)))
    loss = law(params, data, coupling, bend, place) * np.exp(noise * np.random.default_rng(seed).normal(size=49))
    return {"params": params, "data": data, "flops": 6 * params * data, "loss": loss}


def law(params, data, coupling=1.0, bend=0.0, place=1e10):
    u = np.log(A) - ALPHA * np.log(params)
    v = np.log(B) - BETA * np.log(data) + bend * np.logaddexp(0.0, np.log(place / data))
    return E + np.exp(coupling * np.logaddexp(u / coupling, v / coupling))


def test_points_on_the_additive_law_keep_it_and_its_numbers():
    made = points()
    found, additive = fit(made, bootstraps=0), fit(made, bootstraps=0, law="additive")
    assert found.choice is None
    assert found.form == additive.form
    assert found.law == additive.law


def test_coupled_terms_are_chosen_and_predict_far_better():
    made, far = points(coupling=0.5), (2e10, 8e11)
    found, additive = fit(made, bootstraps=0), fit(made, bootstraps=0, law="additive")
    assert found.form.law == "coupled"
    assert found.law.coupling == pytest.approx(0.5, abs=0.1)
    true = float(law(*far, coupling=0.5))
    assert abs(np.log(found.loss(*far).value / true)) < 0.02
    assert abs(np.log(found.loss(*far).value / true)) < 0.5 * abs(np.log(additive.loss(*far).value / true))
    assert found.status.found(Kind.LAW_CHOSEN)
    told = [one for one in found.status.findings if one.kind is Kind.LAW_BENDS]
    assert len(told) == 1
    assert told[0].sentence.startswith("the points bend away from the additive law")


def test_a_law_taken_instead_is_doubted_unless_it_predicts_clearly_better_than_all_others():
    found = fit(points(coupling=0.5), bootstraps=0)
    clear = found.choice.candidates[found.choice.chosen].error < MARGIN * found.choice.runner_up
    assert found.status.doubts(Kind.LAW_BENDS) is not clear
    assert found.optimal(1e24).caution == (None if clear else BENDS)
    taken = found.choice.candidates[found.choice.chosen]
    assert found.choice.runner_up == min(one.error for one in found.choice.candidates if one.law != taken.law)


def test_the_choice_stands_in_the_fit_and_its_json_with_weights_and_runners_up():
    found = fit(points(coupling=0.5), bootstraps=0)
    candidates = found.choice.candidates
    errors = [one.error for one in candidates]
    assert errors == sorted(errors)
    assert sum(one.weight for one in candidates) == pytest.approx(1.0)
    assert {one.law for one in candidates} == {"additive", "coupled", "broken_data", "broken_params", "offset"}
    assert len(found.choice.seen) == found.choice.origins
    assert all(np.mean(one.errors) == pytest.approx(one.error) for one in candidates)
    again = from_json(to_json(found))
    assert again.choice == found.choice
    assert again.law == found.law


def test_another_law_has_to_err_clearly_less():
    samples = fit(points(), bootstraps=0).samples
    for single_runs, default in ((True, "coupled"), (False, "additive")):
        found = choose(samples, Form(), None, 0, single_runs=single_runs)
        taken = found.candidates[found.chosen]
        base = next(one for one in found.candidates if one.law == default and one.over == 1.0)
        assert taken == base or taken.error <= MARGIN * base.error
        assert {one.toward_largest for one in found.candidates} == {single_runs}


def test_a_law_that_the_smaller_runs_do_not_determine_is_not_the_default():
    made = {name: values[::2][:9] for name, values in points(coupling=0.5).items()}
    found = choose(fit(made, bootstraps=0).samples, Form(), None, 0)
    assert found is None or np.isfinite(found.candidates[found.chosen].error)


def test_draws_are_of_the_law_that_each_resample_would_choose():
    found = fit(points(bend=0.6, place=8e9), bootstraps=60)
    choice = found.choice
    assert found.form.law == "broken_data"
    taken = chosen_again(found.samples, choice, found.form, None, 0, np.ones((1, 49)))
    assert taken.tolist() == [choice.chosen]
    bends = found.draws.extension.data_bend
    assert 0.05 < np.mean(bends == 0.0) < 0.7
    assert np.all(np.diff(found.draw_ids) > 0)
    assert tuple(from_json(to_json(found)).interval("a")) == tuple(found.interval("a"))


def test_laws_of_several_kinds_are_as_they_were_when_put_together():
    coupled, additive = (fit(points(0.5), bootstraps=60, law=name).draws for name in ("coupled", "additive"))
    both = together([coupled, additive])
    for flops in (1e20, 1e24):
        want = [np.concatenate(pair) for pair in zip(coupled.optimum(flops), additive.optimum(flops), strict=True)]
        for value, alone in zip(both.optimum(flops), want, strict=True):
            np.testing.assert_allclose(value, alone, rtol=1e-9)
    assert together([additive]).extension is None


def test_larger_runs_weigh_more_where_the_points_bend_and_that_is_in_the_json():
    found = fit(points(coupling=0.5), bootstraps=0)
    assert found.form.toward_largest
    assert from_json(to_json(found)).form == found.form
    assert '"toward_largest"' not in to_json(fit(points(), bootstraps=0))


def test_origins_hold_out_the_larger_runs_alone():
    samples = fit(points(), bootstraps=0).samples
    for part, rest in rolling_origins(samples, Form(), (0.6, 0.8)):
        assert part.cost.max() < rest.cost.min() * 1.01
        assert part.count + rest.count == samples.count


@pytest.mark.parametrize(("name", "bend"), [("broken_data", 0.2), ("offset", -BETA)])
def test_a_frontier_that_is_no_power_law_is_lowest_where_it_says(name, bend):
    made = points(bend=bend, place=3e9, noise=1e-5)
    found = fit(made, law=name, bootstraps=0)
    for cost in (1e21, 1e23):
        best = found.optimal(cost)
        sizes = best.params.value * np.exp(np.linspace(-3, 3, 6001))
        losses = law(sizes, cost / 6 / sizes, bend=bend, place=3e9)
        assert np.log(best.params.value / sizes[np.argmin(losses)]) == pytest.approx(0.0, abs=0.05)
        assert best.loss.value == pytest.approx(losses.min(), rel=2e-3)
        assert found.compute_for(best.loss.value).value == pytest.approx(cost, rel=1e-6)
        assert 6 * best.params.value * best.data.value == pytest.approx(cost, rel=1e-9)


def test_what_widens_a_prediction_widens_the_optimum():
    found = fit(points(), bootstraps=200)
    assert found.extrapolation_factor >= 1.0
    best = found.optimal(1e23)
    for wide, factor in ((best.params, found.extrapolation_factor), (best.loss, found.frontier_factor)):
        name = "optimal_params" if wide is best.params else "optimal_loss"
        plain = found.answer(name, flops=1e23).interval
        ratio = np.log(wide.interval.high / wide.interval.low) / np.log(plain.high / plain.low)
        assert ratio == pytest.approx(factor, rel=1e-6)
    run = found.loss(best.params.value, best.data.value).interval
    assert run.low < best.loss.interval.low < best.loss.interval.high < run.high


def test_where_the_points_bend_the_best_size_widens_with_the_distance_by_its_drift():
    found = fit(points(coupling=0.5), bootstraps=200)
    assert found.optimum_drift.rate > 0.0
    assert found.optimum_drift.origins > 2
    plain = found.answer("optimal_params", flops=1e24).interval
    wide = found.optimal(1e24).params.interval
    own = 0.5 * np.log(plain.high / plain.low) * found.extrapolation_factor
    further = found.optimum_drift.half_width(np.log(1e24 / found.samples.cost.max()), 0.95)
    assert 0.5 * np.log(wide.high / wide.low) == pytest.approx(np.hypot(own, further), rel=0.05)
    within = found.samples.cost.max() * 0.5
    assert found.optimal(within).params.interval == found.answer("optimal_params", flops=within).interval
    assert fit(points(), bootstraps=0).optimum_drift.rate == 0.0


def test_residuals_count_for_the_noise_as_their_points_weigh():
    residuals = np.concatenate([np.full(50, 0.1), np.linspace(-0.01, 0.01, 50)])
    even = noise_half_width(residuals, 5, 0.95, np.ones(100))
    late = noise_half_width(residuals, 5, 0.95, np.where(np.abs(residuals) > 0.05, 1e-6, 1.0))
    assert even == pytest.approx(noise_half_width(residuals, 5, 0.95), rel=0.1)
    assert late == pytest.approx(noise_half_width(residuals[50:], 5, 0.95), rel=0.1)
