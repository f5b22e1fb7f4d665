"""Points become texts in tags and come back to the last digit."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweeps import points, spec

from raysweep.core.points import POINT_SCHEMA, TABLE_SCHEMA, Point, from_table
from raysweep.tracking import rows

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
MAYBE = st.none() | NUMBERS

POINTS = st.builds(
    Point,
    trial_id=st.text(max_size=20),
    architecture=st.text(max_size=2000),
    size=st.text(),
    seed=st.integers(0, 2**63 - 1),
    learning_rate=NUMBERS,
    step=st.integers(0, 2**63 - 1),
    budget=NUMBERS,
    budget_kind=st.sampled_from(["data", "flops"]),
    params=st.integers(0, 2**63 - 1),
    data=NUMBERS,
    flops=NUMBERS,
    loss=NUMBERS,
    seconds=MAYBE,
    device=st.none() | st.text(),
    energy_mae=MAYBE,
    train_loss=MAYBE,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(POINTS, max_size=6))
def test_any_points_come_back_equal(some: list[Point]) -> None:
    texts = [rows.row_of(point) for point in some]
    tags = rows.encode(texts)
    assert rows.decode(tags) == texts
    assert all(len(piece) <= rows.PIECE for piece in tags.values())
    table = rows.to_table([("grid", "a", texts)])
    assert table.schema.equals(TABLE_SCHEMA, check_metadata=True)
    assert sorted(rows.row_of(point) for point in from_table(table)) == sorted(texts)


def test_text_that_lost_a_piece_or_a_letter_is_found_out() -> None:
    tags = rows.encode([rows.row_of(p) for p in points(spec(), 100)])
    assert len(tags) >= 2
    assert rows.decode({}) == []
    assert rows.decode({key: value for key, value in tags.items() if key != f"{rows.TAG}.1"}) is None
    torn = tags[f"{rows.TAG}.0"].replace("seed", "sead")
    assert torn != tags[f"{rows.TAG}.0"]
    assert rows.decode(tags | {f"{rows.TAG}.0": torn}) is None
    assert rows.decode({f"{rows.TAG}.0": ""}) is None
    whole = [rows.row_of(p) for p in points(spec(), 100)]
    assert rows.decode(tags | {f"{rows.TAG}.{len(tags)}": "left behind by a longer text"}) == whole


def test_column_that_all_points_share_is_written_once() -> None:
    trial = spec()
    tags = rows.encode([rows.row_of(p) for p in points(trial, 8)])
    assert "".join(tags.values()).count(trial.trial_id) == 1
    assert len(tags) == 1


def test_text_of_another_version_is_read_by_column_names() -> None:
    known = [rows.row_of(p) for p in points(spec(), 3)]
    content = json.loads(rows.encode(known)[f"{rows.TAG}.0"].split(" ", 2)[2])
    del content["columns"]["force_l2"]
    content["columns"]["new"] = 1
    text = json.dumps(content)
    found = rows.decode({f"{rows.TAG}.0": f"{rows.digest(text.encode())[:16]} {len(text)} {text}"})
    assert found == known  # force_l2 is null in them


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.0, 5e-324, 0.1 + 0.2])
def test_doubles_keep_their_bits(value: float) -> None:
    point = points(spec(), 1)[0]
    table = rows.to_table([("grid", "a", [rows.row_of(Point(**{**point.__dict__, "loss": value}))])])
    assert table["loss"][0].as_py().hex() == value.hex()
    assert table.column_names[: len(POINT_SCHEMA)] == POINT_SCHEMA.names
