"""The readers: every source gives the same table, with the grid stage's points alone."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest
from surfaces import CHINCHILLA, valleys

from raysweep.core.errors import FrontierError
from raysweep.core.hashing import content_id, digest
from raysweep.core.points import Point, to_table
from raysweep.frontier import fit, read_csv, read_parquet, read_store, to_json


def trial(number, budgets):
    return [
        Point(
            trial_id=f"{number:016x}",
            architecture="mpnn",
            size="{}",
            seed=0,
            learning_rate=0.01,
            step=step,
            budget=float(step),
            budget_kind="data",
            params=1000 * (number + 1),
            data=float(step),
            flops=6000.0 * (number + 1) * step,
            loss=1.0 + 10.0 / step + 1.0 / (number + 1),
            trivial_loss=9.0,
        )
        for step in budgets
    ]


def write_sweep(root, whole):
    """Write a sweep's storage by hand: two grid trials, and one of the learning-rate stage."""
    stages = ["grid", "grid", "learning_rate"]
    assignments, parts = [], []
    for number, stage in enumerate(stages):
        table = to_table(trial(number, [10, 20, 40]))
        folder = root / "trials" / f"{number:016x}"
        folder.mkdir(parents=True)
        with pa.ipc.new_file(str(folder / "points.arrow"), table.schema) as stream:
            stream.write_table(table)
        record = {"state": "done", "points_sha256": digest((folder / "points.arrow").read_bytes())}
        (folder / "state.json").write_text(json.dumps({**record, "sha256": content_id(record)}))
        served = {"trial_id": f"{number:016x}", "family": f"mpnn-{number}", "stage": stage}
        assignments.append({**served, "seed": 0, "size": "{}", "learning_rate": 0.01})
        labels = {"family": [f"mpnn-{number}"] * 3, "stage": [stage] * 3}
        for name, values in labels.items():
            table = table.append_column(name, pa.array(values))
        parts.append(table)
    (root / "assignments.json").write_text(json.dumps(assignments))
    if whole:
        pa.parquet.write_table(pa.concat_tables(parts), root / "points.parquet")


def test_a_store_reads_the_same_with_and_without_its_table(tmp_path):
    for name, whole in (("with", True), ("without", False)):
        write_sweep(tmp_path / name, whole)
    tables = [read_store(tmp_path / name) for name in ("with", "without")]
    assert tables[0].equals(tables[1])
    assert tables[0].num_rows == 6
    assert set(tables[0]["architecture"].to_pylist()) == {"mpnn-0", "mpnn-1"}
    assert set(tables[0]["trajectory"].to_pylist()) == {f"{0:016x}", f"{1:016x}"}
    assert tables[0]["trivial_loss"].to_pylist() == [9.0] * 6


def test_an_empty_folder_is_no_sweep(tmp_path):
    with pytest.raises(FrontierError, match="sweep's storage"):
        read_store(tmp_path)


def test_csv_parquet_pandas_and_a_dict_give_the_same_fit(tmp_path):
    points = valleys(CHINCHILLA, noise=0.01)
    frame = pd.DataFrame(points)
    frame.rename(columns={"params": "N", "data": "tokens"}).to_csv(tmp_path / "points.csv", index=False)
    pa.parquet.write_table(pa.table(points), tmp_path / "points.parquet")
    tables = [
        read_csv(tmp_path / "points.csv", columns={"params": "N", "data": "tokens"}),
        read_parquet(tmp_path / "points.parquet"),
        frame,
        points,
    ]
    fits = [fit(table, bootstraps=0) for table in tables]
    assert len({found.samples.digest() for found in fits}) == 1
    assert len({to_json(found) for found in fits}) == 1


def test_flops_are_computed_where_the_file_has_none(tmp_path):
    points = valleys(CHINCHILLA)
    frame = pd.DataFrame({"n": points["params"], "d": points["data"], "loss": points["loss"]})
    frame.to_csv(tmp_path / "points.csv", index=False)
    table = read_csv(tmp_path / "points.csv", columns={"params": "n", "data": "d", "flops": "6ND"})
    assert np.allclose(table["flops"].to_numpy(), points["flops"], rtol=1e-12)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"params": "n"}, "no column 'n' for params"),
        ({"size": "params"}, "unknown to the estimator"),
        (None, "no column for params"),
    ],
)
def test_a_column_that_is_not_there_is_named_with_the_remedy(tmp_path, columns, words):
    (tmp_path / "points.csv").write_text("tokens,loss\n1,2\n")
    with pytest.raises(FrontierError, match=words):
        read_csv(tmp_path / "points.csv", columns=columns)


def test_words_in_a_number_column_are_refused(tmp_path):
    (tmp_path / "points.csv").write_text("params,data,flops,loss\n1,2,12,low\n1,2,12,lower\n")
    with pytest.raises(FrontierError, match="column 'loss' holds 'low' in row"):
        fit(read_csv(tmp_path / "points.csv"))


def test_missing_values_become_exclusions(tmp_path):
    points = pd.DataFrame(valleys(CHINCHILLA))
    points.loc[3, "loss"] = np.nan
    points.to_csv(tmp_path / "points.csv", index=False)
    found = fit(read_csv(tmp_path / "points.csv"), bootstraps=0)
    assert [item.row for item in found.excluded] == [3]


def test_a_seconds_column_can_be_the_cost():
    points = valleys(CHINCHILLA)
    points["seconds"] = points["flops"] / 1e14
    found = fit(points, cost="seconds", bootstraps=0)
    assert found.optimal(flops=1e8).params.value == pytest.approx(
        fit(points, bootstraps=0).optimal(flops=1e22).params.value, rel=1e-6
    )


def test_two_budgets_on_one_step_are_one_point():
    points = valleys(CHINCHILLA)
    rows = pa.table(
        {
            **points,
            "trial_id": ["a"] * points["data"].size,
            "step": range(points["data"].size),
            "budget": points["data"],
        }
    )
    flops = rows.slice(rows.num_rows - 1).set_column(rows.schema.names.index("budget"), "budget", pa.array([1e22]))
    found = fit(pa.concat_tables([rows, flops]), bootstraps=0)
    assert found.samples.count == rows.num_rows
    assert not found.excluded


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("N,tokens,flops,loss\n1e9,1e9,1e20,2.0\n8.7 cm,1e9,1e20,2.1\n", "column 'N' holds '8.7 cm' in row 2"),
        ('N,tokens,flops,loss\n1e9,"1,234",1e20,2\n', "column 'tokens' holds '1,234' in row 1: its comma may stand"),
        ("N,tokens,flops,loss\n1e9,1e9,1e20,45%\n1e9,2e9,2e20,0.4\n", "column 'loss' holds '45%' in row 1: per cent"),
        ("N,tokens,flops,loss\n1e9,true,1e20,2\n", "column 'tokens' holds 'true' in row 1"),
        ("N,tokens,flops,loss\n1e9,1e9,1e20,2.0\n1e9,1e9,1e20,low\n", "column 'loss' holds 'low' in row 2"),
        ("N,tokens,flops,loss,seconds\n1e9,1e9,1e20,2.0,3 h\n", "column 'seconds' holds '3 h' in row 1"),
        ("N,tokens,flops,loss\n2020-01-01,1e9,1e20,2.1\n", "column 'N' holds "),
        ("N tokens flops loss\n1e9 1e9 1e20 2.1\n", "columns are separated by blanks"),
        ("N,tokens,flops,loss,loss\n1e9,1e9,1e20,2.1,2.2\n", "two columns are named 'loss'"),
        ("N,tokens,flops,loss\n1e9,1e9\n", "row 1 has 2 cells, the header 4 ('1e9,1e9'): complete the row"),
        ("N,tokens,flops,loss\n1,2,3,4\n1,2,3,4,5\n", "row 2 has 5 cells, the header 4 ('1,2,3,4,5')"),
        ("My runs,,,\nN,tokens,flops,loss\n1,2,3,4\n", "the first line, 'My runs,,,', names too few columns"),
        (
            "N,tokens,flops,Loss\n1,2,3,4\n",
            "no column for loss; it has N, tokens, flops, Loss. Name it in columns={'loss': 'Loss'}, or --loss Loss",
        ),
        (
            "N,tokens,flops,val\n1,2,3,4\n",
            "no column for loss; it has N, tokens, flops, val. Name it in columns={'loss': ...}, or --loss COLUMN",
        ),
        ("N,tokens,flops,loss\n", "the table has no points"),
        ("", "not a CSV file with a header"),
    ],
)
def test_file_that_holds_no_numbers_is_refused_by_its_own_columns(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "points.csv"
    path.write_text(text)
    with pytest.raises(FrontierError) as error:
        read_csv(path, {"params": "N", "data": "tokens"})
    assert str(error.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"asymptote": np.nan}, "asymptote = nan"),
        ({"asymptote": np.inf}, "asymptote = inf"),
        ({"asymptote": None}, "asymptote = None"),
        ({"loss_delta": np.inf}, "loss_delta = inf"),
        ({"seed": -1}, "seed = -1: give 0 or more"),
        ({"seed": 1.5}, "seed = 1.5: give 0 or more, a whole number"),
        ({"seed": True}, "seed = True"),
        ({"bootstraps": np.nan}, "bootstraps = nan"),
        ({"iterations": -1}, "iterations = -1"),
    ],
)
def test_argument_that_cannot_be_meant_is_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(FrontierError, match=message):
        fit({"params": [1e6], "data": [1e7], "flops": [6e13], "loss": [3.0]}, **arguments)
