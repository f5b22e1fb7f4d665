"""Verdicts: tests of differences and of equivalence in closed form, error spent over looks, text and JSON, refusals."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from racing import COMPUTE, FLAT, STEEP, candidates, grid, loss, points
from scipy import stats

from raysweep.core.errors import FrontierError
from raysweep.frontier import Verdict, decide
from raysweep.frontier.decision.judging import judge
from raysweep.frontier.decision.losses import LogLoss, log_difference
from raysweep.frontier.decision.spending import spent_at, spent_until

NEAR = (0.02, 2.001, 0.30, 20.01, 0.30)
"""FLAT, but .05 % higher."""
QUICK = {"window": "all"}


def known(value, error, freedom=1e9):
    """A loss whose logarithm has a standard error, with the degrees of freedom of Student's t."""
    return LogLoss(value=np.array([value]), deviation=np.array([error]), weight=np.ones(1), degrees_of_freedom=freedom)


def verdict_of(losses, *, delta=0.02, look=1, out=(), unfit=()):
    return judge(losses, dict(unfit), flops=1e15, delta=delta, error=0.05, look=look, before=dict(out), spent=1e16)


def test_shares_of_the_error_sum_to_it_however_many_looks_there_are():
    shares = [spent_at(look, 0.05) for look in range(1, 500)]
    assert math.isclose(sum(shares), 0.05, rel_tol=1e-9)
    assert sum(shares[:7]) == pytest.approx(spent_until(7, 0.05), rel=1e-12)
    assert all(later < sooner for sooner, later in pairwise(shares))


def test_a_difference_is_welchs_t_interval():
    value, low, high = log_difference(known(0.30, 0.01, 6.0), known(0.27, 0.02, 9.0), 0.004)
    freedom = (1e-4 + 4e-4) ** 2 / (1e-8 / 6 + 16e-8 / 9)
    half_width = math.sqrt(5e-4) * stats.t.ppf(0.996, freedom)
    assert (value, low, high) == pytest.approx((0.03, 0.03 - half_width, 0.03 + half_width), rel=1e-6)


def test_a_difference_under_two_forms_of_the_errors_is_a_mixture():
    weight = np.array([0.25, 0.75])
    narrow, wide = np.array([0.01, 0.01]), np.array([0.01, 0.05])
    first = LogLoss(value=np.array([0.1, 0.2]), deviation=narrow, weight=weight, degrees_of_freedom=1e12)
    second = LogLoss(value=np.zeros(2), deviation=wide, weight=weight, degrees_of_freedom=1e12)
    value, low, high = log_difference(first, second, 0.01)
    assert value == pytest.approx(0.175)
    both = np.hypot(narrow, wide)
    for end, share in ((low, 0.01), (high, 0.99)):
        assert weight @ stats.norm.cdf((end - first.value) / both) == pytest.approx(share, rel=1e-6)


def test_best_where_zero_is_excluded_at_the_level_of_the_look_and_undecided_just_before():
    quantile = stats.norm.ppf(1 - spent_at(1, 0.05))  # of two families, one pair
    error = 0.01
    clear, unclear = (factor * quantile * math.sqrt(2) * error for factor in (1.001, 0.999))
    assert verdict_of({"a": known(0.0, error), "b": known(clear, error)}).families == ("a",)
    assert verdict_of({"a": known(0.0, error), "b": known(unclear, error)}).kind == "undecided"


def test_equal_where_both_one_sided_tests_reject():
    quantile, away = stats.norm.ppf(1 - spent_at(1, 0.05)), 0.005
    room = np.log1p(0.02) - away
    for factor, kind in ((0.99, "equal"), (1.01, "undecided")):
        error = factor * room / quantile / math.sqrt(2)
        assert verdict_of({"a": known(0.0, error), "b": known(away, error)}).kind == kind


def test_best_and_within_delta_says_both():
    found = verdict_of({"a": known(0.0, 1e-4), "b": known(0.01, 1e-4)})
    assert (found.kind, found.within_delta) == ("best", True)
    assert "though by less than 2.0%" in str(found)


def test_three_families_divide_the_error_and_the_worst_leaves_while_two_are_equal():
    found = verdict_of({"a": known(0.0, 1e-4), "b": known(0.005, 5e-3), "c": known(0.3, 1e-3)}, delta=0.05)
    assert (found.kind, found.families) == ("equal", ("a", "b"))
    assert found.out["c"].by in ("a", "b")
    assert found.level == pytest.approx(1 - 2 * spent_at(1, 0.05) / 2)
    assert verdict_of({"a": known(0.0, 1e-4), "b": known(0.005, 5e-3)}, delta=0.05).level < found.level


def test_a_family_that_is_out_stays_out():
    first = verdict_of({"a": known(0.0, 1e-3), "b": known(0.1, 1e-3), "c": known(0.001, 1e-2)})
    later = verdict_of({"a": known(0.0, 1e-4), "c": known(0.1, 1e-4)}, look=2, out=first.out)
    assert (later.kind, later.families) == ("best", ("a",))
    assert later.out["b"] == first.out["b"]
    assert (later.out["b"].look, later.out["c"].look) == (1, 2)


def test_a_family_without_a_fit_keeps_the_verdict_open():
    found = verdict_of({"a": known(0.0, 1e-3), "b": known(0.1, 1e-3)}, unfit={"c": "too few points"})
    assert (found.kind, found.families) == ("undecided", ("a", "c"))
    assert "c: no usable fit: too few points" in str(found)


def test_undecided_says_what_choosing_the_leader_risks_and_what_deciding_takes():
    error = 0.02
    found = verdict_of({"a": known(0.0, error), "b": known(0.015, error)})
    half_width = stats.norm.ppf(1 - spent_at(1, 0.05)) * math.sqrt(2) * error
    assert found.regret == pytest.approx(math.expm1(half_width - 0.015), rel=1e-6)
    assert found.needed == pytest.approx(1e16 * ((half_width / 0.015) ** 2 - 1), rel=1e-6)
    assert str(found).startswith("Undecided at 1e+15 FLOPs between a and b after 1 look. a leads")


def test_a_verdict_is_the_same_after_json():
    found = verdict_of({"a": known(0.0, 1e-3), "b": known(0.1, 1e-3), "c": known(0.001, 1e-2)}, unfit={"d": "none"})
    assert Verdict.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False))) == found
    with pytest.raises(FrontierError, match="torn"):
        Verdict.from_dict(found.to_dict() | {"kind": "perhaps"})
    with pytest.raises(FrontierError, match="format"):
        Verdict.from_dict({})


def test_points_of_two_families_give_the_lower_one_at_the_compute_and_the_other_below_their_crossing():
    measured = grid({"flat": FLAT, "steep": STEEP})
    assert decide(measured, flops=COMPUTE, **QUICK).families == ("steep",)
    assert decide(measured, flops=1e10, **QUICK).families == ("flat",)


def test_points_of_two_nearly_equal_families_are_equal():
    found = decide(grid({"one": FLAT, "two": NEAR}, noise=0.0005), flops=COMPUTE, delta=0.02, **QUICK)
    assert (found.kind, set(found.families)) == ("equal", {"one", "two"})


def test_a_family_without_points_is_named():
    found = decide(grid({"flat": FLAT, "steep": STEEP}), flops=COMPUTE, families=["flat", "steep", "new"], **QUICK)
    assert found.unfit == {"new": "no points yet"}
    assert found.kind == "undecided"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"flops": -1.0}, "flops"),
        ({"delta": 1.0}, "delta"),
        ({"delta": 0}, "delta"),
        ({"error": 2}, "error"),
        ({"look": 0}, "look"),
        ({"look": 1.5}, "look"),
        ({"families": ["flat"]}, "steep"),
        ({"families": "flat"}, "list"),
        ({"out": {"other": 1}}, "other"),
        ({"out": {"flat": 1, "steep": 1}}, "every family"),
    ],
)
def test_arguments_without_meaning_are_refused(wrong, message):
    with pytest.raises(FrontierError, match=message):
        decide(grid({"flat": FLAT, "steep": STEEP}), **{"flops": COMPUTE, **QUICK, **wrong})


def test_one_family_is_no_race():
    with pytest.raises(FrontierError, match="two are needed"):
        decide(points({"flat": FLAT}, candidates(["flat"])[2::3]), flops=COMPUTE, **QUICK)


DEAR = (0.02, 1.9, 0.30, 19.0, 0.30)
"""FLAT, but 5 % lower without the asymptote; its inference costs forty times as much."""


def lowest(law, step, steps):
    """The lowest loss of a law that COMPUTE buys, inference included, by exhaustive search."""
    params = np.geomspace(1e2, 1e6, 200_001)
    data = (COMPUTE - steps * step * params) / (6 * params)
    with np.errstate(invalid="ignore"):
        return np.nanmin(np.where(data > 0, loss(law, params, data), np.inf))


def test_inference_that_costs_more_turns_the_verdict():
    step = {"dear": 80.0, "flat": 2.0}
    laws = {"dear": DEAR, "flat": FLAT}
    measured = grid(laws, noise=0.001)
    measured["inference_flops"] = [
        step[name] * params for name, params in zip(measured["architecture"], measured["params"], strict=True)
    ]
    assert decide(measured, flops=COMPUTE, **QUICK).families == ("dear",)
    steps = 2e6
    found = decide(measured, flops=COMPUTE, inference_steps=steps, **QUICK)
    assert found.families == ("flat",)
    assert found.inference_steps == steps
    for name, law in laws.items():
        assert found.losses[name] == pytest.approx(lowest(law, step[name], steps), rel=0.01)
    assert "of training and 2e+06 atom-steps of inference" in str(found)
    assert Verdict.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_inference_that_was_not_measured_is_assumed_and_said_and_too_much_of_it_is_no_answer():
    measured = grid({"flat": FLAT, "steep": STEEP})
    found = decide(measured, flops=COMPUTE, inference_steps=1e5, **QUICK)
    assert "flat: inference is taken as a third of the training FLOPs" in str(found)
    assert not decide(measured, flops=COMPUTE, **QUICK).assumed
    beyond = decide(measured, flops=COMPUTE, inference_steps=1e30, **QUICK)
    assert "1e+30 atom-steps" in beyond.unfit["flat"]
    with pytest.raises(FrontierError, match="inference_steps=-1"):
        decide(measured, flops=COMPUTE, inference_steps=-1, **QUICK)
