"""The cheapest model over its life, as fits, tables and the command line answer it."""

import json

import numpy as np
import pytest
from surfaces import CHINCHILLA, surface, valleys
from typer.testing import CliRunner

from raysweep.cli.app import app
from raysweep.core.errors import FrontierError
from raysweep.frontier import fit, from_json, to_json
from raysweep.frontier.answers.lifetime import A_THIRD, MEASURED
from raysweep.frontier.fitting.costs import COUNTED, TIMED, fit_step_cost
from raysweep.frontier.laws.lifetime import cheapest

LAW = {"E": 0.05, "A": 6.0, "alpha": 0.45, "B": 40.0, "beta": 0.4}
KAPPA, POWER = 30.0, 0.85  # C = kappa N^p D


def trajectories(seed=0, noise=0.01, seeds=(0, 1), **columns):
    """Points of a family of force fields: five sizes, six budgets and two seeds, with what inference costs."""
    generator = np.random.default_rng(seed)
    grid = np.meshgrid(np.geomspace(1e3, 3e5, 5), seeds, np.geomspace(1e5, 3e7, 6), indexing="ij")
    params, run, data = (axis.ravel() for axis in grid)
    loss = surface(LAW, params, data) * np.exp(noise * generator.normal(size=params.size))
    points = {"params": params, "data": data, "flops": KAPPA * params**POWER * data, "loss": loss, "seed": run}
    points["trajectory"] = [f"{size:.0f}-{seed:.0f}" for size, seed in zip(params, run, strict=True)]
    points["inference_flops"] = 0.36 * KAPPA * params**POWER
    points["md_ms_1000"] = 2.0 + 3e-3 * params**0.8
    return points | columns


@pytest.fixture(scope="module")
def found():
    return fit(trajectories(), bootstraps=200, law="additive", window="all")


def test_a_loss_without_inference_is_reached_at_the_compute_that_reaches_it(found):
    optimum, cost = found.optimal(loss=0.3), found.compute_for(0.3)
    assert optimum.flops == pytest.approx(cost.value, rel=1e-9)
    plain = found.optimal(cost.value)
    for name in ("params", "data"):
        one, other = getattr(optimum, name), getattr(plain, name)
        assert one.value == pytest.approx(other.value, rel=1e-6)
    assert plain.lifetime is None
    assert (optimum.loss.value, optimum.loss.interval) == (0.3, None)
    life = optimum.lifetime
    assert (life.steps, life.step, life.inference.value) == (0.0, 0.0, 0.0)
    np.testing.assert_allclose([life.total.interval.low, life.total.interval.high], list(cost.interval), rtol=1e-6)


@pytest.mark.parametrize("steps", [1e8, 1e10])
def test_the_cheapest_model_of_a_loss_is_that_of_the_true_surface(found, steps):
    optimum = found.optimal(loss=0.3, inference_steps=steps)
    sizes = np.geomspace(3e2, 1e6, 200_001)
    with np.errstate(invalid="ignore"):
        data = ((0.3 - LAW["E"] - LAW["A"] * sizes ** -LAW["alpha"]) / LAW["B"]) ** (-1 / LAW["beta"])
    total = KAPPA * sizes**POWER * (data + 0.36 * steps)
    best = int(np.nanargmin(total))
    for name, true in (("params", sizes[best]), ("data", data[best])):
        answer = getattr(optimum, name)
        assert answer.interval.low < true < answer.interval.high
        assert answer.value == pytest.approx(true, rel=0.15)
    life = optimum.lifetime
    assert life.total.interval.low < total[best] < life.total.interval.high
    assert life.total.value == optimum.flops == pytest.approx(life.training.value + life.inference.value, rel=1e-9)
    assert life.inference.value == pytest.approx(steps * life.step, rel=1e-9)
    assert life.step == pytest.approx(0.36 * KAPPA * optimum.params.value**POWER, rel=1e-3)
    assert life.source == MEASURED
    low, high = optimum.params_range
    assert low < optimum.params.value < high
    for size in (low, high):
        left = optimum.flops - steps * 0.36 * KAPPA * size**POWER
        assert float(found.surface.loss(size, found.surface.cost.data_for(left, size))) == pytest.approx(
            1.005 * 0.3, rel=1e-3
        )


def test_a_total_cost_and_the_loss_that_it_buys_are_two_sides_of_one_answer(found):
    one = found.optimal(loss=0.3, inference_steps=1e9)
    other = found.optimal(one.flops, inference_steps=1e9)
    assert other.params.value == pytest.approx(one.params.value, rel=1e-6)
    assert other.loss.value == pytest.approx(0.3, rel=1e-9)
    assert other.loss.interval.low < 0.3 < other.loss.interval.high
    assert (other.flops, other.lifetime.total.interval) == (one.flops, None)
    assert found.optimal(one.flops).loss.value < other.loss.value  # all of it spent on training


def test_seconds_count_where_md_steps_were_timed_on_the_same_device():
    points = trajectories()
    points["seconds"] = 1e-9 * points["flops"]
    points["device"] = ["cpu"] * len(points["data"])
    found = fit(points, cost="seconds", bootstraps=0, law="additive", window="all")
    optimum = found.optimal(loss=0.3, inference_steps=1e10)
    params = optimum.params.value
    assert optimum.lifetime.step == pytest.approx((2.0 + 3e-3 * params**0.8) / 1e3 / 1e3, rel=0.01)
    expected = cheapest(found.surface, *_usage(found, 1e10), 0.3)
    assert optimum.flops == pytest.approx(float(expected[2]), rel=1e-3)
    assert found.md_step_ms(5e4) == pytest.approx(2.0 + 3e-3 * 5e4**0.8, rel=0.01)
    with pytest.raises(FrontierError, match=r"timed at 0 of the sizes.*column md_ms_100, .*resources.inference"):
        found.optimal(loss=0.3, inference_steps=1e10, inference_atoms=100)
    with pytest.raises(FrontierError, match=r"for 100 and 1000 atoms, not for 17"):
        found.md_step_ms(5e4, atoms=17)


def _usage(found, steps):
    from raysweep.frontier.laws.lifetime import Usage

    step = fit_step_cost(found.inference.params, found.inference.md_ms_1000 / 1e6, TIMED)
    return (Usage(steps=steps, step=step),)


def test_md_steps_of_two_devices_do_not_mix():
    points = trajectories()
    points["device"] = ["cpu", "gpu"] * (len(points["data"]) // 2)
    found = fit(points, bootstraps=0, law="additive", window="all")
    assert found.inference.devices == ("cpu", "gpu")
    with pytest.raises(FrontierError, match=r"several devices \(cpu, gpu\), which do not mix"):
        found.md_step_ms(5e4)
    assert found.optimal(loss=0.3, inference_steps=1e9).lifetime.source == MEASURED  # FLOPs are those of any device


def test_language_models_pay_two_operations_for_a_parameter_and_a_token():
    found = fit(valleys(CHINCHILLA), bootstraps=0)
    optimum = found.optimal(loss=2.1, inference_steps=1e13)
    assert optimum.lifetime.step == pytest.approx(2 * optimum.params.value, rel=1e-9)
    assert optimum.lifetime.source == A_THIRD
    assert optimum.params.value < 0.8 * found.optimal(loss=2.1).params.value


def test_what_was_measured_is_kept_with_the_fit(found):
    read = from_json(to_json(found))
    for name in ("params", "inference_flops", "md_ms_100", "md_ms_1000"):
        np.testing.assert_array_equal(getattr(read.inference, name), getattr(found.inference, name))
    assert read.optimal(loss=0.3, inference_steps=1e9) == found.optimal(loss=0.3, inference_steps=1e9)
    points = trajectories()
    for name in ("inference_flops", "md_ms_1000"):
        del points[name]
    without = fit(points, bootstraps=0, law="additive", window="all")
    assert without.inference is None
    assert "inference" not in json.loads(to_json(without))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, r"give flops=, the cost to spend, or loss="),
        ({"flops": 1e12, "loss": 0.3}, r"give flops=, the cost to spend, or loss="),
        ({"loss": 0.01}, r"optimal\(loss=0.01\): no model reaches it.*asymptote is E = 0.05"),
        ({"loss": -1.0}, r"optimal\(loss=-1\): give a positive, finite number"),
        ({"loss": 0.3, "inference_steps": -1.0}, r"optimal\(inference_steps=-1\): give 0 or more"),
        ({"flops": 1e12, "inference_steps": float("inf")}, r"optimal\(inference_steps=inf\)"),
    ],
)
def test_a_question_without_an_answer_says_why(found, arguments, words):
    with pytest.raises(FrontierError, match=words):
        found.optimal(**arguments)


def test_a_budget_that_inference_alone_exceeds_buys_nothing():
    points = trajectories()
    points["inference_flops"] = 1e4 + points["inference_flops"]
    found = fit(points, bootstraps=0, law="additive", window="all")
    with pytest.raises(FrontierError, match=r"inference alone costs 1e\+13 or more"):
        found.optimal(1e12, inference_steps=1e9)


def test_other_approaches_do_not_know_it():
    found = fit(trajectories(), method="envelope", bootstraps=0)
    with pytest.raises(FrontierError, match="gives the loss on the frontier only"):
        found.optimal(loss=0.3)


@pytest.mark.parametrize(("floor", "power"), [(0.0, 0.9), (3.0, 0.7), (1e3, 1.2)])
def test_the_cost_of_a_step_is_found_at_a_size_that_was_not_measured(floor, power):
    sizes = np.geomspace(1e3, 1e6, 6)
    true = lambda params: floor + 1e-2 * params**power  # noqa: E731
    for left_out in range(6):
        others = np.delete(sizes, left_out)
        cost = fit_step_cost(others, true(others), COUNTED)
        assert float(cost.cost(sizes[left_out])) == pytest.approx(true(sizes[left_out]), rel=0.01)
    two = fit_step_cost(sizes[:2], sizes[:2] ** 0.5, TIMED)
    assert (two.floor, two.power) == (0.0, pytest.approx(0.5))
    assert fit_step_cost(sizes, np.full(6, 7.0), TIMED).cost(1e9) == pytest.approx(7.0, rel=1e-3)
    assert fit_step_cost(sizes[:2], np.array([3.0, 2.0]), TIMED).power == 0.0  # a larger network is not cheaper


def test_times_with_noise_are_foretold_beyond_the_sizes_that_were_timed():
    generator, sizes, away = np.random.default_rng(0), np.geomspace(2e3, 1e5, 5), []
    for _ in range(50):
        floor, power = generator.uniform(0.3, 3.0), generator.uniform(0.6, 0.9)
        noisy = (floor + 1e-3 * sizes**power) * np.exp(0.03 * generator.normal(size=5))
        truth = floor + 1e-3 * 2e5**power  # twice the largest
        away.append(abs(float(fit_step_cost(sizes, noisy, TIMED).cost(2e5)) / truth - 1))
    assert np.mean(np.array(away) < 0.1) > 0.8


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    place = tmp_path_factory.mktemp("lifetime") / "points.csv"
    points = trajectories()
    names = [name for name in points if name != "trajectory"]
    rows = zip(*(points[name] for name in names), strict=True)
    lines = [",".join([*names, "trajectory"])]
    lines += [",".join([*(repr(float(v)) for v in row), t]) for row, t in zip(rows, points["trajectory"], strict=True)]
    place.write_text("\n".join(lines))
    return str(place)


def test_the_command_line_prints_total_and_inference_and_says_what_no_model_reaches(table):
    options = ["--target-loss", "0.3", "--target-loss", "0.01", "--inference-steps", "1e9", "--law", "additive"]
    ran = CliRunner().invoke(app, ["frontier", table, *options, "--window", "all"])
    assert ran.exit_code == 0, ran.output
    assert "of which inference" in ran.output
    assert "optimal(loss=0.01): no model reaches it by this law" in " ".join(ran.output.split())
    ran = CliRunner().invoke(app, ["frontier", table, *options[:2], *options[4:], "--window", "all", "--json"])
    (family,) = json.loads(ran.stdout)["families"]
    (row,) = family["optima"]
    assert row["loss"]["value"] == 0.3
    assert row["total"]["value"] == row["flops"] > row["inference"]["value"] > 0
    assert row["total"]["low"] < row["flops"] < row["total"]["high"]


def test_the_command_line_refuses_it_for_other_approaches(table):
    ran = CliRunner().invoke(app, ["frontier", table, "--target-loss", "0.3", "--method", "envelope"])
    assert isinstance(ran.exception, FrontierError)
    assert "does not determine the cheapest model" in str(ran.exception)
