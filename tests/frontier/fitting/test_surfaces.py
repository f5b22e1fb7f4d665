"""The additive law between the user's units and the solver's, and its refits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples_for import samples_for
from surfaces import CHINCHILLA, surface, valleys

from raysweep.frontier.fitting.surfaces import (
    draw_surfaces,
    fit_surface,
    log_loss_gradient,
    prepare,
    to_surface,
    to_theta,
)
from raysweep.frontier.laws.forms import Form
from raysweep.frontier.numerics.solver import predict

FORMS = {
    "additive": Form(),
    "tied": Form(law="tied"),
    "params": Form(law="params"),
    "data": Form(law="data"),
    "asymptote held": Form(asymptote=1.8),
    "tied, asymptote held": Form(law="tied", asymptote=1.5),
}
SAMPLES = samples_for(valleys(CHINCHILLA, noise=0.005))
coordinates = st.tuples(
    st.floats(0.1, 0.9), st.floats(-3, 0), st.floats(0.1, 0.9), st.floats(-3, 0), st.floats(0.1, 0.9)
)


def theta_of(form, values):
    """A theta that the form allows."""
    prepared, theta = prepare(SAMPLES, form), np.array(values)
    if form.law == "tied":
        theta[4] = theta[2]
    if form.law in ("params", "data"):
        theta[3:] = 0.0
    if form.asymptote is not None:
        theta[0] = prepared.fixed[0]
    return prepared, theta


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=20, deadline=None)
@given(values=coordinates)
def test_theta_and_the_law_in_the_users_units_are_the_same_law(name, values):
    form = FORMS[name]
    prepared, theta = theta_of(form, values)
    cost = fit_surface(SAMPLES, Form(), 0.1, 0, 1, 1).surface.cost
    law = to_surface(prepared, theta, cost, form)
    np.testing.assert_allclose(to_theta(prepared, law, form), theta, rtol=1e-9, atol=1e-12)
    total = np.full(SAMPLES.count, float(law.E))
    if form.law != "data":
        total = total + np.exp(law.log_A) * SAMPLES.params ** -float(law.alpha)
    if form.law != "params":
        total = total + np.exp(law.log_B) * SAMPLES.data ** -float(law.beta)
    np.testing.assert_allclose(np.exp(predict(prepared.problem, theta[None, :])[0]) * prepared.scale, total, rtol=1e-9)


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=20, deadline=None)
@given(values=coordinates)
def test_the_gradient_of_ln_loss_is_that_of_finite_differences(name, values):
    form = FORMS[name]
    prepared, theta = theta_of(form, values)
    params, data = np.geomspace(1e7, 1e11, 5), np.geomspace(1e9, 1e13, 5)
    rows, step = log_loss_gradient(prepared, form, theta, params, data), 1e-6

    def log_loss(moved):
        law = to_surface(prepared, moved, None, form)
        first = 0 if form.law == "data" else np.exp(law.log_A - law.alpha * np.log(params))
        second = 0 if form.law == "params" else np.exp(law.log_B - law.beta * np.log(data))
        return np.log(law.E + first + second)

    for k, direction in enumerate(prepared.problem.free.T):
        slope = (log_loss(theta + step * direction) - log_loss(theta - step * direction)) / (2 * step)
        np.testing.assert_allclose(rows[:, k], slope, rtol=1e-5, atol=1e-8)


def test_a_resample_of_every_point_once_gives_the_fit_itself():
    fit = fit_surface(SAMPLES, Form(), 0.05, seed=0)
    draws, converged = draw_surfaces(SAMPLES, fit, Form(), np.ones((2, SAMPLES.count)))
    assert converged.all()
    for name in ("E", "log_A", "alpha", "log_B", "beta"):
        np.testing.assert_allclose(getattr(draws, name), float(getattr(fit.surface, name)), rtol=1e-6)


def test_a_resample_is_the_fit_to_its_points():
    points = valleys(CHINCHILLA, noise=0.005)
    samples = samples_for(points)
    fit = fit_surface(samples, Form(), 0.05, seed=0)
    times = np.random.default_rng(2).multinomial(40, np.full(40, 1 / 40))
    draws, _ = draw_surfaces(samples, fit, Form(), times[None, :].astype(float))
    copies = np.repeat(np.arange(40), times)
    alone = fit_surface(samples.take(copies), Form(), 0.05, seed=0)
    assert float(draws.alpha[0]) == pytest.approx(float(alone.surface.alpha), rel=1e-6)
    assert float(draws.E[0]) == pytest.approx(float(alone.surface.E), rel=1e-6)


def test_outliers_lose_their_weight_and_the_others_keep_it():
    points = valleys(CHINCHILLA, noise=0.002)
    points["loss"][[4, 17]] *= 1.1
    fit = fit_surface(samples_for(points), Form(), None, seed=0)
    assert np.flatnonzero(fit.trust == 0.0).tolist() == [4, 17]
    assert np.median(fit.trust) == 1.0
    assert fit.minimum.residuals[4] == pytest.approx(np.log(1.1), abs=0.01)
    assert 0.001 < fit.minimum.noise < 0.004


def test_a_given_delta_is_kept_and_judges_no_outliers():
    fit = fit_surface(SAMPLES, Form(), 0.03, seed=0)
    assert fit.minimum.delta == 0.03
    np.testing.assert_array_equal(fit.trust, 1.0)
    predicted = surface({name: float(getattr(fit.surface, name)) for name in ("E", "alpha", "beta")} | {
        "A": float(np.exp(fit.surface.log_A)), "B": float(np.exp(fit.surface.log_B))
    }, SAMPLES.params, SAMPLES.data)  # fmt: skip
    np.testing.assert_allclose(fit.minimum.residuals, np.log(SAMPLES.loss / predicted), atol=1e-9)
