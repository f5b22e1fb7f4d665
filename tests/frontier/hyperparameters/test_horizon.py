"""The exponent of the best learning rate in D, from the same rates at several horizons."""

import math

import numpy as np
import pytest

from raysweep.frontier.hyperparameters.horizon import HorizonExponent, Losses, horizon_exponent

RATES = [0.01 * 1.8**k for k in range(-3, 4)]


def curves(
    exponent: float, noise: float = 0.0, seed: int = 0, horizons: tuple[float, ...] = (1e4, 1e5), lean: float = 0.0
) -> dict[float, Losses]:
    """Losses around a best rate that is .01 at 3e4 and moves as D^exponent; `lean`: how lopsided the curve is."""
    rng = np.random.default_rng(seed)
    found: dict[float, Losses] = {}
    for place, data in enumerate(horizons):
        best = 0.01 * (data / 3e4) ** exponent
        x = np.log(np.array(RATES) / best)
        losses = data**-0.2 * np.exp((0.08 + 0.02 * place) * x**2 + lean * x**3 + noise * rng.normal(size=x.size))
        found[data] = list(zip(RATES, losses.tolist(), strict=True))
    return found


@pytest.mark.parametrize("exponent", [-0.32, -0.1, 0.0, 0.15])
def test_a_known_exponent_is_found_to_rounding_without_noise(exponent: float) -> None:
    found = horizon_exponent(curves(exponent))
    assert isinstance(found, HorizonExponent)
    assert found.exponent == pytest.approx(exponent, abs=1e-9)
    assert found.best[0].rate == pytest.approx(0.01 * (1e4 / 3e4) ** exponent)
    rate, low, high = found.rate_at(1e6)
    assert rate == pytest.approx(0.01 * (1e6 / 3e4) ** exponent)
    assert low <= rate * (1 + 1e-9)
    assert high >= rate * (1 - 1e-9)


def test_intervals_hold_the_exponent_and_the_rate_beyond_as_often_as_they_say() -> None:
    inside, at_larger, tries = 0, 0, 400
    for seed in range(tries):
        found = horizon_exponent(curves(-0.2, noise=0.01, seed=seed))
        assert isinstance(found, HorizonExponent)
        inside += found.low <= -0.2 <= found.high
        _, low, high = found.rate_at(1e6)
        at_larger += low <= 0.01 * (1e6 / 3e4) ** -0.2 <= high
    assert 0.91 <= inside / tries <= 0.985
    assert 0.91 <= at_larger / tries <= 0.985


def test_lopsided_curves_shift_both_vertices_alike() -> None:
    found = horizon_exponent(curves(-0.2, lean=0.01))
    assert isinstance(found, HorizonExponent)
    assert found.exponent == pytest.approx(-0.2, abs=0.03)


def test_three_horizons_are_one_line() -> None:
    found = horizon_exponent(curves(-0.25, noise=0.005, horizons=(1e4, 3e4, 1e5)))
    assert isinstance(found, HorizonExponent)
    assert len(found.best) == 3
    assert found.low < -0.25 < found.high
    assert found.matters


def test_no_exponent_is_told_from_noise_alone() -> None:
    noisy = [horizon_exponent(curves(0.0, noise=0.01, seed=seed)) for seed in range(200)]
    assert sum(isinstance(one, HorizonExponent) and one.matters for one in noisy) <= 20


def test_what_the_losses_do_not_tell_is_said() -> None:
    assert horizon_exponent({1e4: curves(0.0)[1e4]}) == "fewer than two horizons have losses"
    falling = {data: [(rate, 1 - 0.05 * math.log(rate / 1e-3)) for rate in RATES] for data in (1e4, 1e5)}
    assert "lowest or highest" in str(horizon_exponent(falling))
    few = {data: losses[:3] for data, losses in curves(0.0).items()}
    assert "3 rates have a loss, and 4 are needed" in str(horizon_exponent(few))
    diverged = {data: [(rate, math.inf) for rate, _ in losses] for data, losses in curves(0.0).items()}
    assert "0 rates have a loss" in str(horizon_exponent(diverged))
    flat = {data: [(rate, 1 + 0.02 * math.sin(17 * k)) for k, rate in enumerate(RATES)] for data in (1e4, 1e5)}
    assert isinstance(horizon_exponent(flat), str)
