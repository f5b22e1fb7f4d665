"""Runs remember their deviations: the filter, the restricted likelihood, the law fitted with both."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from surfaces import CHINCHILLA, surface

from raysweep.frontier.fitting.run_noise import draws
from raysweep.frontier.fitting.run_noise.covariance import Deviations, estimate, sample
from raysweep.frontier.fitting.run_noise.draws import draw_mixed, without_each_run
from raysweep.frontier.fitting.run_noise.mixed import fit_mixed
from raysweep.frontier.fitting.run_noise.refits import refit
from raysweep.frontier.fitting.run_noise.runs import Memory, arrange_runs, draw_errors, whiten
from raysweep.frontier.fitting.surfaces import fit_surface
from raysweep.frontier.laws.forms import Form
from raysweep.frontier.numerics.solver import predict
from raysweep.frontier.points.samples import Samples

CASES = Path(__file__).parents[4] / "shared" / "cases" / "frontier"


def covariance(log_params, log_data, label, memory, white, slope=0.0, trust=None):
    """Return the dense covariance that the module's formula gives."""
    trust = np.ones(label.size) if trust is None else trust
    away = np.abs(log_data[:, None] - log_data[None, :])
    shared = (label[:, None] == label[None, :]) * (1 - white) * np.exp(-away / memory)
    scale = np.exp(slope * log_params)
    return scale[:, None] * scale[None, :] * (shared + np.diag(white + 1 / trust - 1))


def runs_of(*, sizes=4, seeds=1, budgets=7, memory=2.2, white=0.05, slope=-0.1, noise=0.01, seed=0):
    """Return points on Chinchilla's law whose errors are of a known covariance."""
    generator = np.random.default_rng(seed)
    params = np.repeat(np.geomspace(1e7, 1e10, sizes), seeds * budgets)
    data = np.tile(np.geomspace(1e9, 10**11.5, budgets), sizes * seeds)
    label = np.repeat(np.arange(sizes * seeds), budgets)
    centred = np.log(params) - np.log(params).mean()
    root = np.linalg.cholesky(covariance(centred, np.log(data), label, memory, white, slope))
    loss = surface(CHINCHILLA, params, data) * np.exp(noise * root @ generator.normal(size=params.size))
    return Samples(
        params=params,
        data=data,
        cost=6 * params * data,
        loss=loss,
        weight=np.ones(params.size),
        row=np.arange(params.size),
        trajectory=np.array([f"t{one}" for one in label], dtype=object),
    )


def started(samples, form=None):
    return samples, fit_surface(samples, form or Form(), None, 0, 8)


def test_the_filter_whitens_as_the_dense_covariance_does_whatever_the_order_and_the_runs_lengths():
    generator = np.random.default_rng(1)
    label = generator.permutation(np.repeat([0, 1, 2], [5, 1, 8]))
    log_params, log_data = generator.normal(size=3)[label], generator.uniform(0, 6, size=14)
    trust = np.where(np.arange(14) == 4, 0.25, 1.0)
    runs = arrange_runs(log_params + 9, log_data, label, trust, np.full(14, 3.0), 9.0)
    assert runs.count == 13.25
    columns = generator.normal(size=(14, 3))
    two = Memory(memory=np.array([1.5, 40.0]), white=np.array([0.2, 0.01]), slope=np.array([-0.3, 0.1]))
    white, log_det = whiten(runs, two, columns[None])
    for k in range(2):
        dense = covariance(log_params, log_data, label, two.memory[k], two.white[k], two.slope[k], trust)
        np.testing.assert_allclose(white[k].T @ white[k], columns.T @ np.linalg.solve(dense, columns), rtol=1e-10)
        assert log_det[k] == pytest.approx(np.linalg.slogdet(dense)[1], rel=1e-10)


def test_the_refit_is_generalised_least_squares():
    samples, start = started(runs_of(noise=0.003))
    noise = Memory(memory=np.array([3.0]), white=np.array([0.1]), slope=np.array([-0.2]))
    label = np.repeat(np.arange(4), 7)
    log_params = np.log(samples.params) - np.log(samples.params).mean()
    runs = arrange_runs(log_params, np.log(samples.data), label, np.ones(28), samples.weight, 0.0)
    problem = start.prepared.problem
    found = refit(problem, runs, noise, start.minimum.theta[None, :], tolerance=1e-16)
    inverse = np.linalg.inv(covariance(log_params, np.log(samples.data), label, 3.0, 0.1, -0.2))

    def squares(theta):
        error = problem.z - predict(problem, theta[None, :])[0]
        return error @ inverse @ error

    best = squares(found.theta[0])
    assert found.squares[0] == pytest.approx(best, rel=1e-10)
    assert found.gradient_norm[0] < 1e-6
    for step in np.vstack([np.eye(5), -np.eye(5)]):
        assert squares(found.theta[0] + 1e-4 * step) > best
    assert best < squares(start.minimum.theta)


@pytest.mark.parametrize(("memory", "white"), [(2.2, 0.05), (1e6, 0.1), (1.0, 1.0)])
def test_restricted_likelihood_finds_the_noise_that_was_put_in(memory, white):
    families = [started(runs_of(sizes=6, seeds=2, memory=memory, white=white, seed=seed)) for seed in range(3)]
    noise = fit_mixed(families)[0].noise
    assert noise.families == 3
    assert noise.seeds == 2
    for factor in (2, 8, 32):
        want = (1 - white) * np.exp(-np.log(factor) / memory)
        assert noise.correlation(factor) == pytest.approx(want, abs=0.17)
    assert noise.deviation == pytest.approx(0.01, rel=0.35)
    assert noise.slope == pytest.approx(-0.1, abs=0.06)
    assert noise.at(1e10) < noise.at(1e7)


def test_one_family_is_less_sure_of_its_noise_than_four_that_share_it():
    families = [started(runs_of(memory=1.0, white=0.5, seed=seed)) for seed in range(4)]
    alone, together = fit_mixed(families[:1])[0], fit_mixed(families)[0]
    uniform = np.random.default_rng(0).random((1000, 2))
    alone_level, level = (sample(one.posterior, 0, uniform)[1] for one in (alone, together))
    assert level.std() < 0.7 * alone_level.std()
    assert together.noise.degrees_of_freedom > 1.3 * alone.noise.degrees_of_freedom
    np.testing.assert_allclose(together.fit.minimum.theta, alone.fit.minimum.theta, rtol=0.3)


def test_draws_spread_as_the_estimates_of_repeated_experiments_do():
    estimates, widths = [], []
    for seed in range(16):
        (mixed,) = fit_mixed([started(runs_of(sizes=6, seeds=3, noise=0.004, seed=seed))])
        theta, converged = draw_mixed(mixed, 128, seed)
        assert converged.mean() > 0.95
        estimates.append(mixed.fit.minimum.theta)
        widths.append(np.diff(np.quantile(theta, [0.16, 0.84], axis=0), axis=0)[0])
    ratio = np.median(widths, axis=0) / (2 * np.std(estimates, axis=0))
    assert np.all((ratio > 0.65) & (ratio < 1.7)), ratio


def test_equal_seeds_give_equal_draws_and_families_share_the_covariance_of_each():
    first, second = fit_mixed([started(runs_of(seed=seed)) for seed in range(2)])
    theta, _ = draw_mixed(first, 40, seed=5)
    np.testing.assert_array_equal(theta, draw_mixed(first, 40, seed=5)[0])
    assert not np.any(theta[:, 0] == draw_mixed(second, 40, seed=5)[0][:, 0])
    uniform = np.linspace(0.01, 0.99, 40)[:, None].repeat(2, axis=1)
    np.testing.assert_array_equal(sample(first.posterior, 0, uniform)[0], sample(second.posterior, 1, uniform)[0])


def test_a_run_left_out_is_a_fit_of_the_others():
    samples = runs_of(sizes=5)
    (mixed,) = fit_mixed([started(samples)])
    without = without_each_run(mixed)
    kept = np.arange(35) >= 7
    runs = mixed.deviations.runs
    others = replace(runs, place=runs.place[1:], step=runs.step[1:], size=runs.size[1:], doubt=runs.doubt[1:])
    alone = refit(mixed.fit.prepared.problem, others, mixed.memory, mixed.fit.minimum.theta[None, :])
    np.testing.assert_allclose(without[0], alone.theta[0], rtol=1e-4)
    assert without.shape == (5, 5)
    assert kept.sum() == 28


def test_the_step_to_the_fit_without_a_run_is_near_the_refit_where_runs_are_many(monkeypatch):
    samples = runs_of(sizes=10, seeds=6, budgets=5)
    (mixed,) = fit_mixed([started(samples)])
    exact = without_each_run(mixed)
    monkeypatch.setattr(draws, "MANY_UNITS", 60)
    step = without_each_run(mixed)
    assert step.shape == exact.shape == (60, 5)
    moved = exact - mixed.fit.minimum.theta
    for column in (2, 4):
        assert np.corrcoef(step[:, column], exact[:, column])[0, 1] > 0.999
        error = step[:, column] - exact[:, column]
        assert np.sqrt(np.mean(error**2)) < 0.05 * np.sqrt(np.mean(moved[:, column] ** 2))


def test_the_step_leaves_a_parameter_that_a_bound_holds_where_it_is(monkeypatch):
    samples = runs_of(sizes=6, seeds=2, budgets=5)
    scale = samples.loss.min()
    (mixed,) = fit_mixed([started(replace(samples, loss=samples.loss - 0.99 * scale))])
    assert mixed.fit.minimum.at_bound[0]
    monkeypatch.setattr(draws, "MANY_UNITS", 1)
    step = without_each_run(mixed)
    np.testing.assert_array_equal(step[:, 0], mixed.fit.minimum.theta[0])
    assert np.all(np.ptp(step[:, 1:], axis=0) > 0)


def test_a_point_that_leaves_its_run_loses_its_trust_and_a_run_that_is_off_keeps_its():
    samples = runs_of(memory=50.0, white=0.1, noise=0.005)
    loss = samples.loss.copy()
    loss[10] *= 1.05  # in the second run
    loss[21:] *= 1.01  # the whole last run
    (mixed,) = fit_mixed([started(replace(samples, loss=loss))])
    assert mixed.fit.trust[10] < 0.1
    assert np.all(np.delete(mixed.fit.trust, 10) > 0.9)
    (clean,) = fit_mixed([started(samples)])
    assert mixed.fit.minimum.theta[4] == pytest.approx(clean.fit.minimum.theta[4], rel=0.03)


def test_what_is_held_stays_held():
    for form in (Form(asymptote=1.8172), Form(law="tied"), Form(law="data"), Form(law="params")):
        samples = runs_of(sizes=5)
        fit_one = started(samples, form)
        (mixed,) = fit_mixed([fit_one])
        theta, _ = draw_mixed(mixed, 16, seed=0)
        if form.asymptote is not None:
            np.testing.assert_array_equal(theta[:, 0], 1.8172 / samples.loss.min())
        if form.law == "tied":
            np.testing.assert_allclose(theta[:, 2], theta[:, 4], rtol=1e-12)
        if form.law in ("data", "params"):
            np.testing.assert_array_equal(np.ptp(theta[:, 3:], axis=0), 0.0)


def test_errors_are_drawn_with_the_dense_covariance():
    samples = runs_of(sizes=3, budgets=3)
    places = np.log(samples.params) - np.log(samples.params).mean(), np.log(samples.data)
    label = np.unique(samples.trajectory, return_inverse=True)[1]
    ones = np.ones(samples.count)
    runs = arrange_runs(*places, label, ones, ones, 0.0)
    count = 40_000
    memory = Memory(memory=np.full(count, 2.2), white=np.full(count, 0.3), slope=np.full(count, -0.1))
    errors = draw_errors(runs, memory, np.full(count, np.log(0.02)), (0,))
    want = 0.02**2 * covariance(*places, label, 2.2, 0.3, -0.1)
    np.testing.assert_allclose(errors.T @ errors / count, want, atol=0.03 * want.max())


@pytest.mark.skipif(not (CASES / "seeds.parquet").exists(), reason="needs ../shared/cases")
def test_measured_runs_remember_as_their_seeds_show():
    """Correlations .8, .5-.6, .35, .2 at factors 2, 4, 8, 16; deviations 1-4 % of wide, 9-10 % of the smallest."""
    seeds, first = (pq.read_table(CASES / f"{name}.parquet") for name in ("seeds", "long_curves"))
    table = pa.concat_tables([seeds, first.select(seeds.column_names)]).to_pandas()
    table = table[(table.budget < 8e5) & table.params.isin(seeds["params"].to_pylist())]
    centre = float(np.log(table.params).mean())
    families = []
    for _, part in table.groupby("architecture", sort=False):
        cell = part.groupby(["params", "budget"]).ngroup().to_numpy()
        label = np.unique(part.trial_id, return_inverse=True)[1]
        ones = np.ones(len(part))
        runs = arrange_runs(np.log(part.params.to_numpy()), np.log(part.budget.to_numpy()), label, ones, ones, centre)
        # The mean of each size at each budget is projected out: what is left is between seeds.
        means = (cell[:, None] == np.arange(cell.max() + 1)).astype(float)
        families.append(Deviations(residuals=np.log(part.loss.to_numpy()), jacobian=means, runs=runs))
    found = estimate(families)
    weight = found.weight.sum(axis=(1, 2))
    memory, white = np.exp(weight @ np.log(found.memory.memory)), weight @ found.memory.white
    for factor, want in ((2, 0.8), (4, 0.55), (8, 0.35), (16, 0.2)):
        assert (1 - white) * np.exp(-np.log(factor) / memory) == pytest.approx(want, abs=0.25)
    assert (1 - white) * 2 ** (-1 / memory) == pytest.approx(0.8, abs=0.06)
    slope = weight @ found.memory.slope
    assert -0.5 < slope < -0.05
    uniform = np.random.default_rng(0).random((400, 2))
    for family, (smallest, largest) in enumerate(((3472, 12576), (1172, 4200), (1830, 4890))):
        level = sample(found, family, uniform)[1].mean()
        small, large = (np.exp(level + slope * (np.log(size) - centre)) for size in (smallest, largest))
        assert 0.01 < large < small < 0.1
