"""The chosen learning rate is the minimum of a parabola through the best region, where there is one."""

import math

import numpy as np
import pytest

from raysweep.sweep.tuning.rate_choice import choose


def surface(rate: float, best: float = 0.02) -> float:
    return math.exp(0.1 * math.log(rate / best) ** 2)


def test_exact_parabola_gives_its_vertex() -> None:
    rates = [0.005, 0.01, 0.03, 0.06]
    choice = choose([(rate, [surface(rate)]) for rate in rates], 1)
    assert choice is not None
    assert choice.method == "parabola"
    assert choice.rate == pytest.approx(0.02, rel=1e-3)
    assert choice.edge is None


def test_parabola_beats_the_lucky_minimum_under_noise() -> None:
    draw = np.random.default_rng(0)
    rates = [0.005 * 1.6**i for i in range(7)]
    errors: dict[str, list[float]] = {"parabola": [], "lowest": []}
    for _ in range(200):
        losses = {rate: surface(rate) * math.exp(draw.normal(0, 0.02)) for rate in rates}
        choice = choose([(rate, [loss]) for rate, loss in losses.items()], 1)
        assert choice is not None
        errors["parabola"].append(abs(math.log(choice.rate / 0.02)))
        errors["lowest"].append(abs(math.log(min(losses, key=lambda r: losses[r]) / 0.02)))
    assert np.mean(errors["parabola"]) < 0.6 * np.mean(errors["lowest"])


@pytest.mark.parametrize(("rates", "edge"), [([0.02, 0.04, 0.08], "low"), ([0.005, 0.01, 0.02], "high")])
def test_best_at_the_end_of_what_was_tried_is_reported(rates: list[float], edge: str) -> None:
    choice = choose([(rate, [surface(rate)]) for rate in rates], 1)
    assert choice is not None
    assert (choice.rate, choice.method, choice.edge) == (0.02, "lowest", edge)


def test_diverged_trial_beyond_the_best_means_that_it_is_no_edge() -> None:
    choice = choose([(0.01, [2.0]), (0.02, [1.0]), (0.04, [])], 1)
    assert choice is not None
    assert (choice.rate, choice.edge) == (0.02, None)


def test_cliff_above_the_best_is_given_a_distance() -> None:
    choice = choose([(0.002, [1.8]), (0.008, [0.95]), (0.018, [0.93]), (0.03, [1.9])], 1)
    assert choice is not None
    assert choice.method == "centre"
    assert choice.rate == pytest.approx(0.012, rel=1e-3)


def test_earlier_rungs_have_no_say() -> None:
    rates = [0.01, 0.018, 0.04]
    curves = [(rate, [surface(rate), surface(rate)] if rate == 0.018 else [surface(rate)]) for rate in rates]
    choice = choose(curves, 2)
    assert choice is not None
    assert (choice.rate, choice.method) == (0.018, "lowest")


def test_nothing_complete_is_no_choice() -> None:
    assert choose([(0.1, []), (0.2, [1.0])], 2) is None
