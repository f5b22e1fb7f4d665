"""Cleaning: one reason for each point left out; and the families of a table."""

import numpy as np
import pyarrow as pa
import pytest

from raysweep.core.errors import FrontierError
from raysweep.frontier.points.cleaning import clean, exclude_mask
from raysweep.frontier.points.families import families_of, named_families, only_family
from raysweep.frontier.points.findings import Kind, Severity, caution, fatal, note, status_of


def table(**columns):
    points = {"params": [1e6] * 5, "data": [1e8, 2e8, 3e8, 4e8, 5e8], "flops": [1.0] * 5, "loss": [5.0, 4, 3, 2, 1]}
    return pa.table({**points, **columns})


def test_the_first_reason_stands():
    given = table(loss=[np.nan, -1.0, 9.0, 2.0, 2.0], trivial_loss=[3.0] * 5, data=[1e8, 2e8, 3e8, 4e8, 4e8])
    found = clean(given, np.arange(5), "flops", [0])
    assert [(item.row, item.kind) for item in found.excluded] == [
        (0, Kind.EXCLUDED_BY_USER),
        (1, Kind.NOT_POSITIVE),
        (2, Kind.ON_PLATEAU),
        (4, Kind.DUPLICATES),
    ]
    assert found.samples.row.tolist() == [3]
    assert found.excluded[3].reason == "repeats point 3 of the group in every column"


def test_rows_are_those_of_the_whole_table():
    given = table(loss=[1.0, np.inf, 3.0, 4.0, np.inf])
    found = clean(given, np.array([1, 2, 4]), "flops", [2])
    assert [(item.row, item.kind) for item in found.excluded] == [
        (1, Kind.NOT_FINITE),
        (2, Kind.EXCLUDED_BY_USER),
        (4, Kind.NOT_FINITE),
    ]


def test_points_differ_by_their_seed_or_trajectory_too():
    same = {name: [1.0, 1.0] for name in ("params", "data", "flops", "loss")}
    for name, values in (("seed", [0, 1]), ("trajectory", ["a", "b"])):
        assert not clean(pa.table({**same, name: values}), np.arange(2), "flops").excluded
        assert clean(pa.table({**same, name: values[:1] * 2}), np.arange(2), "flops").excluded


def test_the_device_of_the_seconds_is_kept_and_two_are_refused():
    given = table(seconds=[1.0, 2, 3, 4, 5], device=["a", "a", "a", None, "b"])
    assert clean(given, np.arange(3), "seconds").samples.device == "a"
    (found,) = clean(given, np.arange(5), "seconds").findings
    assert (found.kind, found.severity) == (Kind.MIXED_DEVICES, Severity.FATAL)
    assert "3 points on a, 1 points on unknown, 1 points on b" in found.sentence
    assert clean(given, np.arange(5), "flops").samples.device is None


def test_points_of_a_group_may_be_selected():
    cleaned = clean(table(), np.arange(5), "flops")
    assert cleaned.take(np.array([True, False, False, True, False])).samples.loss.tolist() == [5.0, 2.0]


@pytest.mark.parametrize(
    ("given", "want"), [(None, []), ([], []), ([1, 3], [1, 3]), ([False, True, False, False], [1])]
)
def test_rows_to_leave_out_are_numbers_or_flags(given, want):
    assert np.flatnonzero(exclude_mask(given, 4)).tolist() == want


@pytest.mark.parametrize(("given", "message"), [([4], r"0\.\.3"), ([-1], r"0\.\.3"), ([True], "1 flags for 4 points")])
def test_rows_that_are_not_there_are_refused(given, message):
    with pytest.raises(FrontierError, match=message):
        exclude_mask(given, 4)


def test_families_come_in_the_order_of_their_first_points():
    given = table(architecture=["b", "a", None, "b", "a"])
    assert {name: rows.tolist() for name, rows in families_of(given).items()} == {
        "b": [0, 3],
        "a": [1, 4],
        "unnamed": [2],
    }
    assert {name: rows.tolist() for name, rows in families_of(table()).items()} == {None: [0, 1, 2, 3, 4]}
    with pytest.raises(
        FrontierError, match=r"f: the points are of 3 families \(b, a, unnamed\); f_families takes them all"
    ):
        only_family(given, "f")
    assert only_family(table(architecture=["a"] * 5), "f")[0] == "a"
    with pytest.raises(FrontierError, match="f_families: the points have no column architecture"):
        named_families(table(), "f")


def test_the_gravest_finding_is_the_status_and_the_first_of_equals():
    found = [note(Kind.OUTLIERS, "n"), caution(Kind.DIVERGED, "c"), caution(Kind.NOT_CONVERGED, "d")]
    assert status_of([*found, found[0]]).findings == tuple(found)
    assert (status_of(found).kind, status_of(found).ok, status_of(found).usable) == (Kind.DIVERGED, False, True)
    assert not status_of([*found, fatal(Kind.NO_REPEATS, "e")]).usable
    assert status_of(found[:1]).kind is Kind.OK
