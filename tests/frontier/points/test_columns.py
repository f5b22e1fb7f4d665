"""Columns from wherever: exchanged names, one of N, D and C missing, files and objects of other people."""

from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from surfaces import CHINCHILLA, valleys

from raysweep.core.errors import FrontierError
from raysweep.frontier import fit, read_csv, read_parquet
from raysweep.frontier.points.findings import Kind, Severity
from raysweep.frontier.points.readers import as_table

POINTS = valleys(CHINCHILLA, noise=0.005)
NAMES = ("params", "data", "flops", "loss")


def values(table, name):
    return np.asarray(table[name].cast(pa.float64()).to_numpy())


@pytest.mark.parametrize(
    "exchanged",
    [
        {"params": "data", "data": "params"},
        {"params": "data", "data": "loss", "loss": "params"},
        {"flops": "C", "loss": "flops"},
        {"loss": "flops", "flops": "C"},
    ],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_whose_names_are_exchanged_are_the_right_ones(tmp_path, exchanged, kind):
    frame = pd.DataFrame({exchanged.get(name, name): POINTS[name] for name in NAMES})
    path = tmp_path / f"points.{kind}"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    table = (read_csv if kind == "csv" else read_parquet)(path, columns=exchanged)
    for name in NAMES:
        np.testing.assert_array_equal(values(table, name), POINTS[name])


def test_a_column_that_is_named_for_another_quantity_is_not_read_under_its_own_name_too(tmp_path):
    pd.DataFrame(POINTS).to_csv(tmp_path / "p.csv", index=False)
    table = read_csv(tmp_path / "p.csv", columns={"loss": "flops"})  # nonsense, but C is then no column: 6 N D
    np.testing.assert_allclose(values(table, "flops"), 6 * POINTS["params"] * POINTS["data"])
    with pytest.raises(FrontierError, match="column 'loss' is named for data and for loss"):
        read_csv(tmp_path / "p.csv", columns={"data": "loss", "loss": "loss"})
    assert "unique_data" in read_csv(tmp_path / "p.csv", columns={"unique_data": "data"}).column_names


def test_a_column_of_families_that_is_named_stands_before_the_files_own(tmp_path):
    pd.DataFrame({**POINTS, "family": "a", "model": "b"}).to_csv(tmp_path / "p.csv", index=False)
    assert set(read_csv(tmp_path / "p.csv", {"architecture": "model"})["architecture"].to_pylist()) == {"b"}
    assert set(read_csv(tmp_path / "p.csv")["architecture"].to_pylist()) == {"a"}


@pytest.mark.parametrize("absent", ["params", "data", "flops"])
def test_the_one_of_n_d_and_c_that_is_missing_follows_from_the_others_and_a_note_says_so(absent):
    found = fit({name: POINTS[name] for name in NAMES if name != absent}, bootstraps=0)
    whole = fit(POINTS, bootstraps=0)
    assert found.params_exponent == pytest.approx(whole.params_exponent, rel=1e-6)
    (one,) = [one for one in found.status.findings if one.kind is Kind.FILLED_IN]
    assert one.severity is Severity.NOTE
    assert one.sentence.startswith(f"40 values of {absent} were computed as ")
    assert "dense language models" in one.sentence
    with pytest.raises(FrontierError, match="no column for"):
        fit({name: POINTS[name] for name in NAMES if name not in (absent, "loss")})


def test_single_missing_values_are_filled_in_only_where_all_other_points_obey_six_n_d():
    given = {name: POINTS[name].copy() for name in NAMES}
    given["data"][3] = np.nan
    found = fit(given, bootstraps=0)
    assert not found.excluded
    assert "1 value of data was computed" in " ".join(one.sentence for one in found.status.findings)
    np.testing.assert_allclose(found.samples.data[3], POINTS["data"][3])
    given["flops"] = given["flops"] * 20
    assert [one.row for one in fit(given, bootstraps=0).excluded] == [3]


CSVS = {
    "semicolons and decimal commas": ("N;D;C;L\n{}", ";", ",", "{:.6e}"),
    "tabs": ("N\tD\tC\tL\n{}", "\t", ".", "{:.6e}"),
    "byte order mark": ("\ufeffN,D,C,L\n{}", ",", ".", "{:.6e}"),
    "comments": ("# made by hand\n# twice\nN,D,C,L\n{}", ",", ".", "{:.6e}"),
    "commented header": ("# N,D,C,L\n{}", ",", ".", "{:.6e}"),
    "sep=": ("sep=;\nN;D;C;L\n{}", ";", ".", "{:.6e}"),
    "blanks about names": ("N , D, C ,L\n{}", ",", ".", " {:.6e} "),
    "quotes and thousands": ("N,D,C,L\n{}", ",", ".", '"{:,.6f}"'),
}


@pytest.mark.parametrize("name", CSVS)
def test_csv_files_of_other_people_give_the_same_points(tmp_path, name):
    body, separator, point, number = CSVS[name]
    rows = [
        separator.join(number.format(POINTS[column][row]).replace(".", point) for column in NAMES) for row in range(40)
    ]
    path = tmp_path / "points.csv"
    path.write_text(body.format("\n".join(rows)), encoding="utf-8")
    columns = {"params": "N", "data": "D", "flops": "C", "loss": "L"}
    table = read_csv(path, columns)
    for column in NAMES:
        np.testing.assert_allclose(values(table, column), POINTS[column], rtol=1e-5)
    path.write_text(path.read_text(encoding="utf-8-sig"), encoding="utf-16")
    assert read_csv(path, columns).equals(table)


@pytest.mark.parametrize("kind", ["csv", "parquet", "pandas", "dict"])
def test_texts_are_read_the_same_from_every_source(tmp_path, kind):
    texts = {
        "params": [f"{value / 1e6:.4f}M" for value in POINTS["params"]],
        "data": [f"{value / 1e9:.6f} B" for value in POINTS["data"]],
        "flops": [f"{value:.5e}" for value in POINTS["flops"]],
        "loss": ["n/a", *(f"{value:.6f}" for value in POINTS["loss"][1:])],
    }
    frame = pd.DataFrame(texts)
    frame.to_csv(tmp_path / "p.csv", index=False)
    pa.parquet.write_table(pa.table(texts), tmp_path / "p.parquet")
    given = {
        "csv": lambda: read_csv(tmp_path / "p.csv"),
        "parquet": lambda: read_parquet(tmp_path / "p.parquet"),
        "pandas": lambda: as_table(frame),
        "dict": lambda: as_table(texts),
    }[kind]()
    np.testing.assert_allclose(values(given, "params"), POINTS["params"], rtol=1e-3)
    np.testing.assert_allclose(values(given, "data"), POINTS["data"], rtol=1e-3)
    assert np.isnan(values(given, "loss")[0])


WRONG = {
    "ragged": ([1.0], "the columns differ in length"),
    "scalar": (1e9, "'params' is a float"),
    "text": ("1e9", "'params' is a str"),
    "two dimensions": (np.ones((40, 2)), "'params' has 2 dimensions"),
    "zero dimensions": (np.array(1.0), "'params'"),
    "flags": ([True] * 40, "'params' holds True in row 1"),
    "a flag": ([1.0] * 39 + [True], "'params' holds True in row 40"),
    "complex": (np.full(40, 1 + 2j), "'params' holds .* in row 1"),
    "dates": ([date(2020, 1, 1)] * 40, "'params' holds .* in row 1"),
    "durations": ([timedelta(1)] * 40, "'params' holds .* in row 1"),
    "bytes": ([b"1"] * 40, "'params' holds .* in row 1"),
    "lists": ([[1.0]] * 40, "'params' holds .* in row 1"),
    "dicts": ([{"a": 1}] * 40, "'params' holds .* in row 1"),
    "objects": ([object()] * 40, "'params' holds .* in row 1"),
    "a huge integer": ([10**400] * 40, "'params': row 1 is beyond"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("frame", [False, True])
def test_columns_that_hold_no_numbers_are_refused_by_name(name, frame):
    given, message = WRONG[name]
    points = {**POINTS, "params": given}
    if frame:
        try:
            points = pd.DataFrame({**POINTS, "params": pd.Series(given, dtype=object)})
        except ValueError:
            pytest.skip("no frame can hold it")
        if name in ("ragged", "scalar", "text", "two dimensions", "zero dimensions"):
            pytest.skip("a frame stretches it")
    with pytest.raises(FrontierError, match=message):
        fit(points)


def test_numbers_of_any_type_are_numbers():
    want = fit(POINTS, bootstraps=0).samples.digest()
    for given in (
        [Decimal(repr(float(value))) for value in POINTS["loss"]],
        [*POINTS["loss"][:20].tolist(), *(repr(float(value)) for value in POINTS["loss"][20:])],
        pd.Series(POINTS["loss"]).astype("category"),
        pa.chunked_array([POINTS["loss"][:7], POINTS["loss"][7:]]),
        np.ma.array(POINTS["loss"]),
        iter(POINTS["loss"]),
        tuple(POINTS["loss"]),
    ):
        assert fit({**POINTS, "loss": given}, bootstraps=0).samples.digest() == want
    totals = [int(value) for value in POINTS["flops"]]
    assert max(totals) > 2**63
    assert fit({**POINTS, "flops": totals}, bootstraps=0).status.usable


@pytest.mark.parametrize(
    "points", [None, 5, "points.csv", [1, 2], np.ones((4, 4)), [{"params": 1.0}], {}, pd.DataFrame()]
)
def test_what_is_no_table_of_points_is_refused(points):
    with pytest.raises(FrontierError):
        fit(points)


def test_columns_without_a_meaning_may_hold_anything():
    frame = pd.DataFrame({**POINTS, "note": [object()] * 40, "tags": [[1], "a"] * 20})
    assert fit(frame, bootstraps=0).status.usable
    assert fit({**POINTS, "note": object(), "short": [1]}, bootstraps=0).status.usable
    twice = pd.concat([pd.DataFrame(POINTS), pd.DataFrame(POINTS)[["loss"]]], axis=1)
    with pytest.raises(FrontierError, match="two columns are named 'loss'"):
        fit(twice)
