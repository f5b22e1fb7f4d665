"""Successive halving by order of asking: what survives, and when it is known."""

import random

from hypothesis import given
from hypothesis import strategies as st

from raysweep.sweep.space.parts import rung_structures
from raysweep.sweep.tuning.asha import RungLosses, RungVerdict, judge


def test_one_in_three_goes_on_and_the_first_always_does() -> None:
    first_rung = [5.0, 6.0, 4.0, 4.5, 7.0, 3.0, 8.0]
    curves = [RungLosses((loss,), ended=False) for loss in first_rung]
    # places ⌈n / 3⌉ are 1 1 1 2 2 2 3; ranks among those before are 1 2 1 2 5 1 7
    assert [verdict.stopped for verdict in judge(curves[:1], 2, 3.0)] == [False]
    known = [RungLosses((loss, loss), ended=True) for loss in first_rung]
    assert [verdict.stopped for verdict in judge(known, 2, 3.0)] == [False, True, False, False, True, False, True]


def test_decision_is_open_until_all_asked_before_have_arrived() -> None:
    waiting, good, bad = RungLosses((), ended=False), RungLosses((1.0,), ended=False), RungLosses((2.0,), ended=False)
    assert judge([good, bad], 3, 3.0)[1] == RungVerdict(1, stopped=True, settled=True)
    assert judge([waiting, bad], 3, 3.0)[1] == RungVerdict(1, stopped=False, settled=False)
    assert (
        judge([RungLosses((), ended=True), bad], 3, 3.0)[1].stopped is False
    )  # failed before its first rung: no rival
    far = RungLosses((2.0, 0.1, 0.1), ended=True)  # went on while its decision was open
    assert judge([waiting, far], 3, 3.0)[1] == RungVerdict(1, stopped=False, settled=False)
    assert judge([good, far], 3, 3.0)[1] == RungVerdict(1, stopped=True, settled=True)


def test_what_a_trial_did_after_it_should_have_stopped_is_no_rival_to_others() -> None:
    good, far, third = RungLosses((1.0, 0.9), False), RungLosses((2.0, 0.1), True), RungLosses((0.9, 0.8), False)
    assert judge([good, far, third], 3, 3.0)[2] == RungVerdict(2, stopped=False, settled=False)


def test_infinite_loss_is_stopped_and_counts_as_worst() -> None:
    diverged = RungLosses((float("inf"),), ended=True)
    assert judge([diverged, RungLosses((3.0,), False)], 2, 3.0) == [
        RungVerdict(1, stopped=True, settled=True),
        RungVerdict(1, stopped=False, settled=False),
    ]


@given(st.lists(st.lists(st.floats(0.1, 10), min_size=3, max_size=3), min_size=1, max_size=12), st.randoms())
def test_verdicts_once_settled_never_change_whatever_arrives_next(
    curves: list[list[float]], draw: random.Random
) -> None:
    reached = [0] * len(curves)
    before = judge([RungLosses((), False)] * len(curves), 3, 3.0)
    while any(n < 3 for n in reached):
        i = draw.choice([i for i, n in enumerate(reached) if n < 3])
        reached[i] += 1
        now = judge([RungLosses(tuple(c[:n]), n == 3) for c, n in zip(curves, reached, strict=True)], 3, 3.0)
        for old, new in zip(before, now, strict=True):
            assert new.length >= old.length
            if old.settled:
                assert new == old
        before = now
    assert all(verdict.settled for verdict in before)
    assert not before[0].stopped
    survivors = [i for i, verdict in enumerate(before) if not verdict.stopped]
    first = [c[0] for c in curves]
    assert first.index(min(first)) in [i for i, v in enumerate(before) if v.length > 1]
    assert survivors


def test_rungs_are_geometric_and_end_at_the_full_budget() -> None:
    assert rung_structures(900, 3, 3.0) == (100, 300, 900)
    assert rung_structures(10, 4, 3.0) == (1, 3, 10)
    assert rung_structures(2, 5, 3.0) == (1, 2)
