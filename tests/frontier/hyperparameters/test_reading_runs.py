"""Tables of runs: from files with names of their own, and from a sweep's learning-rate searches."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from twins import twin

from raysweep.core.errors import FrontierError
from raysweep.core.points import Point
from raysweep.core.stages import GRID, LEARNING_RATE
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.frontier import fit_hyperparameters, read_runs
from raysweep.storage.records import Assignment
from raysweep.storage.trial_store import TrialStore

RENAMED = {"params": "N", "data": "tokens", "learning_rate": "lr", "batch": "bs", "loss": "val"}


def test_csv_and_parquet_files_give_the_same_runs(tmp_path: Path):
    table = twin(0)
    own = pa.table({RENAMED[name]: column for name, column in table.items()})
    pyarrow.csv.write_csv(own, tmp_path / "runs.csv")
    pyarrow.parquet.write_table(own, tmp_path / "runs.parquet")
    from_csv, from_parquet = (read_runs(tmp_path / name, RENAMED) for name in ("runs.csv", "runs.parquet"))
    assert from_csv.to_pydict() == from_parquet.to_pydict()
    assert from_csv.column_names == ["params", "data", "loss", "learning_rate", "batch"]


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("params,data,loss", "1,2,3", "neither a column for learning_rate nor one for batch"),
        ("params,loss,learning_rate", "1,2,3", "no column for data"),
        ("params,data,loss,learning_rate", "1,2,3,fast", "'fast' in row 1"),
        ("params,data,loss,learning_rate,loss", "1,2,3,4,5", "two columns are named 'loss'"),
    ],
)
def test_a_file_that_lacks_something_is_refused_by_name(tmp_path: Path, header: str, row: str, message: str):
    (tmp_path / "runs.csv").write_text(f"{header}\n{row}\n")
    with pytest.raises(FrontierError, match=message):
        read_runs(tmp_path / "runs.csv")


def test_numbers_written_as_texts_are_read_and_a_diverged_run_s_loss_may_be_empty(tmp_path: Path):
    (tmp_path / "runs.csv").write_text(
        'params,data,learning_rate,loss\n1e6,1e9,"1e-3 ",2.5\n1e6,1e9,0.01,nan\n1e6,1e9,.1,\n1e6,1e9,.2,Diverged\n'
    )
    table = read_runs(tmp_path / "runs.csv")
    assert table["learning_rate"].to_pylist() == [1e-3, 0.01, 0.1, 0.2]
    np.testing.assert_array_equal(
        np.isfinite(np.array(table["loss"].to_pylist(), dtype=float)), [True, False, False, False]
    )


def storage(folder: Path) -> TrialStore:
    """A sweep with two families, each with a search of six rates, evaluated at four amounts of data."""
    store, assignments = TrialStore(str(folder)), []
    for family, best in (("egnn", 0.02), ("mpnn", 0.01)):
        for rate in best * 2.0 ** np.arange(-3, 3):
            spec = TrialSpec(
                architecture=family,
                size={"width": 8},
                fingerprint="none",
                structures=100,
                learning_rate=rate,
                batch_atoms=96,
            )
            points = [
                Point(
                    trial_id=spec.trial_id,
                    architecture=family,
                    size='{"width": 8}',
                    seed=0,
                    learning_rate=rate,
                    step=10 * k,
                    budget=data,
                    budget_kind="data",
                    params=1000,
                    data=data,
                    flops=1e6 * data,
                    loss=data**-0.3 * np.exp(0.1 * np.log(rate / best / (data / 1e5) ** -0.1) ** 2),
                )
                for k, data in enumerate((2.5e4, 5e4, 1e5, 2e5))
            ]
            store.end(store.begin(spec), TrialState.DONE, points)
            row = {
                "trial_id": spec.trial_id,
                "family": family,
                "seed": 0,
                "size": '{"width": 8}',
                "learning_rate": rate,
            }
            assignments += [Assignment(stage=LEARNING_RATE, **row)]
            assignments += [Assignment(stage=GRID, **row)] if rate == best else []
    store.write_assignments(assignments)
    return store


def test_a_sweep_s_searches_are_runs_with_every_rung_its_batch_size_and_its_trajectory(tmp_path: Path):
    storage(tmp_path)
    table = read_runs(tmp_path)
    assert table.num_rows == 2 * 6 * 4  # the grid's rows of the chosen rates are not there twice
    assert set(table["batch"].to_pylist()) == {96.0}
    assert len(set(table["trajectory"].to_pylist())) == 12
    rows = [place for place, name in enumerate(table["architecture"].to_pylist()) if name == "egnn"]
    found = fit_hyperparameters(table.take(rows), bootstraps=60)
    assert found.exponent("b").value == pytest.approx(-0.1, abs=1e-4)
    assert found.best(1000, 1e5).learning_rate.value.value == pytest.approx(0.02, rel=1e-3)
    assert found.units == 6
    with pytest.raises(FrontierError, match="all cells with an optimum have one N"):
        found.exponent("a")


def test_a_storage_without_a_search_says_so(tmp_path: Path):
    with pytest.raises(FrontierError, match="no trial of a learning-rate search"):
        read_runs(tmp_path)
    with pytest.raises(FrontierError, match="columns= is for files"):
        read_runs(tmp_path, {"params": "N"})
