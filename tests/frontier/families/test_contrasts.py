"""Differences between families: intervals, orders, and what is refused."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy.stats import norm, t
from surfaces import CHINCHILLA, optimum, valleys

from raysweep.core.errors import FrontierError
from raysweep.frontier import contrasts, fit, fit_families
from raysweep.frontier.answers.values import Answer
from raysweep.frontier.families.spread import Spread, difference_of

LAWS = {
    "middle": CHINCHILLA,
    "steep": {**CHINCHILLA, "alpha": 0.352, "beta": 0.370},
    "flat": {**CHINCHILLA, "alpha": 0.344, "beta": 0.361},
}


def several(laws, *, noise=0.003, seed=0, **design):
    """Return the points of several families in one table."""
    tables = [valleys(law, noise=noise, seed=100 * seed + k, **design) for k, law in enumerate(laws.values())]
    points = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    points["architecture"] = [name for name, table in zip(laws, tables, strict=True) for _ in table["loss"]]
    return points


def gamma(law):
    return law["alpha"] * law["beta"] / (law["alpha"] + law["beta"])


@pytest.fixture(scope="module")
def fits():
    return fit_families(several(LAWS), bootstraps=300, law="additive")


def spread(value, error, freedom=np.inf, draws=()):
    reach = error * (norm.ppf(0.975) if np.isinf(freedom) else t.ppf(0.975, freedom))
    answer = Answer(value=value, interval=None)
    return Spread(
        answer=answer, value=value, below=reach, above=reach, degrees_of_freedom=freedom, draws=np.asarray(draws)
    )


def test_differences_are_those_of_the_fits(fits):
    found = fits.contrasts()
    assert [(one.first, one.second) for one in found.pairs] == [
        ("middle", "steep"),
        ("middle", "flat"),
        ("steep", "flat"),
    ]
    for one in found.pairs:
        assert one.difference.value == pytest.approx(fits[one.first].loss_exponent - fits[one.second].loss_exponent)
        assert one.difference.value in one.difference.interval
    loss, size = found_at(fits, "loss"), found_at(fits, "params")
    first, second = (fits[name].optimal(1e21) for name in ("middle", "steep"))
    assert loss.difference.value == pytest.approx(first.loss.value / second.loss.value - 1)
    assert size.difference.value == pytest.approx(first.params.value / second.params.value)


def found_at(fits, quantity):
    return contrasts(fits, quantity, 1e21).pair("middle", "steep")


@pytest.mark.slow
def test_intervals_of_differences_cover_the_true_ones():
    held = []
    for seed in range(60):
        points = several(LAWS, seed=seed + 1, noise=0.005)
        found = contrasts(fit_families(points, bootstraps=100, law="additive"))
        truth = {name: gamma(law) for name, law in LAWS.items()}
        held += [truth[one.first] - truth[one.second] in one.difference.interval for one in found.pairs]
    assert np.mean(held) > 0.89
    assert len(held) == 180


def test_student_errors_add_as_welch_and_satterthwaite_add_them():
    below, above, freedom = difference_of(spread(1.0, 0.3, 5), spread(0.5, 0.4, 9), 0.95)
    expected = 0.25**2 / (0.3**4 / 5 + 0.4**4 / 9)
    assert freedom == pytest.approx(expected)
    assert below == pytest.approx(above)
    assert above == pytest.approx(0.5 * t.ppf(0.975, expected))


def test_student_intervals_of_a_difference_cover_it():
    generator, held = np.random.default_rng(0), []
    for _ in range(2000):
        means = [1.0 + 0.3 * generator.normal(), 0.5 + 0.4 * generator.normal()]
        errors = [0.3 * np.sqrt(generator.chisquare(4) / 4), 0.4 * np.sqrt(generator.chisquare(8) / 8)]
        first, second = (spread(*one) for one in zip(means, errors, (4, 8), strict=True))
        below, above, _ = difference_of(first, second, 0.95)
        held.append(-below <= 0.5 - (means[0] - means[1]) <= above)
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)


def test_skewed_intervals_stay_skewed_and_correlated_errors_cancel():
    skewed, other = replace(spread(1.0, 0.1), below=0.1, above=1.0), spread(0.0, 1e-9)
    below, above, freedom = difference_of(skewed, other, 0.95)
    assert (below, above) == (pytest.approx(0.1), pytest.approx(1.0))
    assert np.isinf(freedom)
    same = spread(1.0, 0.2)
    assert difference_of(same, same, 0.95, correlation=1.0)[:2] == pytest.approx((0.0, 0.0), abs=1e-6)


def test_the_probability_of_an_order_is_that_of_its_distributions(fits):
    found = contrasts(fits)
    generator = np.random.default_rng(1)
    drawn = {}
    for name, one in fits.items():
        interval, freedom = one.interval("gamma"), one.degrees_of_freedom
        error = 0.5 * interval.width / t.ppf(0.975, freedom)
        drawn[name] = one.loss_exponent + error * generator.standard_t(freedom, 100_000)
    expected = np.mean((drawn["steep"] > drawn["middle"]) & (drawn["middle"] > drawn["flat"]))
    assert 0.5 < expected < 0.9999
    assert found.probability("steep", "middle", "flat") == pytest.approx(expected, abs=0.01)
    assert sum(order.probability for order in found.orders) == pytest.approx(1.0, abs=0.005)
    assert sum(found.best.values()) == pytest.approx(1.0)
    larger = np.mean(drawn["middle"] > drawn["steep"])
    assert found.pair("middle", "steep").probability == pytest.approx(larger, abs=0.01)


def test_losses_are_ordered_from_the_lowest(fits):
    true = sorted(LAWS, key=lambda name: optimum(LAWS[name], 1e21)[2])
    found = contrasts(fits, "loss", 1e21)
    assert found.lowest_first
    assert found.orders[0].families == tuple(true)
    assert found.best[true[0]] > 0.95
    assert " < ".join(true) in str(found)


def test_intervals_that_hold_together_are_wider(fits):
    one, together = contrasts(fits), contrasts(fits, simultaneous=True)
    ratios = [
        wide.difference.interval.width / narrow.difference.interval.width
        for wide, narrow in zip(together.pairs, one.pairs, strict=True)
    ]
    # Tukey's studentised range of three means, over the t of a pair: 2.35 / 1.97 for many degrees of freedom.
    assert ratios == pytest.approx([ratios[0]] * 3)
    assert 1.1 < ratios[0] < 1.35
    assert "all together" in str(together)


def test_beyond_the_points_a_difference_widens_as_the_fits_do(fits):
    beyond = contrasts(fits, "params", 1e25).pair("middle", "steep").difference.interval
    raw = {name: one.answer("optimal", flops=1e25).interval for name, one in fits.items()}
    width = np.hypot(*(np.log(raw[name].high / raw[name].low) for name in ("middle", "steep")))
    factors = [fits[name].extrapolation_factor for name in ("middle", "steep")]
    assert min(factors) > 1
    assert np.log(beyond.high / beyond.low) > 0.99 * min(factors) * width


def test_contrasts_are_plain_values(fits):
    content = json.loads(json.dumps(asdict(contrasts(fits, "data", 1e20)), allow_nan=False))
    assert content["scale"] == "ratio"
    assert len(content["pairs"]) == 3


def test_without_bootstraps_there_are_values_alone():
    points = several({"one": LAWS["steep"], "two": LAWS["flat"]})
    found = fit_families(points, bootstraps=0).contrasts()
    assert found.pairs[0].difference.interval is None
    assert found.pairs[0].probability is None
    assert found.orders == ()
    with pytest.raises(FrontierError, match="bootstraps=1000"):
        found.probability("one", "two")


def test_a_family_without_a_fit_is_left_out_by_name(fits):
    refused = fit({"params": [1e6] * 6, "data": [1e8] * 6, "flops": [1e15] * 6, "loss": [1.0] * 6})
    found = contrasts({**fits, "short": refused})
    assert "short" in found.left_out
    assert "short left out" in str(found)
    with pytest.raises(FrontierError, match="two are needed"):
        contrasts({"short": refused, "middle": fits["middle"]})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("loss",), "needs flops="),
        (("gamma", 1e21), "only loss, params and data"),
        (("speed",), "no quantity 'speed'"),
        (("loss", -1.0), "positive"),
    ],
)
def test_questions_without_an_answer_are_refused(fits, arguments, message):
    with pytest.raises(FrontierError, match=message):
        contrasts(fits, *arguments)
    with pytest.raises(FrontierError, match="level"):
        contrasts(fits, level=2)
    with pytest.raises(FrontierError, match="name each of"):
        contrasts(fits).probability("middle", "steep")
