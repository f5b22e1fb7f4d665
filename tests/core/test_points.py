"""The columns of a point are declared once, on `Point`; the rest follows."""

import dataclasses

import pyarrow as pa

from raysweep.core.points import ADDED, COLUMNS, POINT_SCHEMA, Point, from_table, to_table, with_added
from raysweep.tracking.views import CURVES, TOTALS

POINT = Point(
    trial_id="0" * 16, architecture="egnn", size="{}", seed=0, learning_rate=0.01, step=10, budget=500.0,
    budget_kind="data", params=2**53 + 1, data=505.0, flops=1e9, loss=0.1, force_l2=0.3,
)  # fmt: skip


def test_the_schema_has_each_field_with_its_type_unit_and_meaning():
    assert POINT_SCHEMA.names == [field.name for field in dataclasses.fields(Point)] == list(COLUMNS)
    assert POINT_SCHEMA.field("params").type == pa.int64()
    assert POINT_SCHEMA.field("peak_memory").type == pa.int64()
    assert POINT_SCHEMA.field("device").type == pa.string()
    assert POINT_SCHEMA.field("force_l2").type == pa.float64()
    assert POINT_SCHEMA.field("force_l2").metadata[b"unit"] == "eV/Å".encode()
    assert all(field.metadata[b"meaning"] for field in POINT_SCHEMA)


def test_points_pass_through_a_table_unchanged():
    assert from_table(to_table([POINT])) == [POINT]


def test_every_measured_number_is_a_metric_once():
    assert len({*CURVES, *TOTALS}) == len(CURVES) + len(TOTALS)
    numbers = {name for name in POINT_SCHEMA.names if POINT_SCHEMA.field(name).type != pa.string()}
    of_the_trial = {"seed", "learning_rate", "step", "budget", "params"}
    assert {*CURVES, *TOTALS} == numbers - of_the_trial


def test_a_table_from_before_inference_was_measured_gets_its_columns_empty_and_in_their_place():
    table = to_table([POINT])
    assert with_added(table) is table
    older = with_added(table.drop_columns(list(ADDED)))
    assert older.schema.equals(POINT_SCHEMA, check_metadata=True)
    assert from_table(older) == [POINT]
    other = table.drop_columns([*ADDED, "peak_memory"])
    assert with_added(other) is other
