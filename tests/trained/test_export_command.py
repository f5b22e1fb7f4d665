"""`export` as a command: which point is written, what is printed of it, and what is refused without a file."""

import json
import shutil
from pathlib import Path

import mlflow
import pytest
import yaml
from ase.build import molecule
from typer.testing import CliRunner

from raysweep.cli.app import app
from raysweep.core.errors import DataError, ModelError
from raysweep.trained.model import load


@pytest.fixture(scope="module")
def best(trained):
    """The point of the lowest loss of a family with two trials, which keep the weights of every point."""
    size = {"width": 4, "depth": 1}
    runs = [trained("mpnn", size, keep="all", family="small", seed=seed) for seed in (31, 32)]
    return min((point for _, points in runs for point in points), key=lambda point: point.loss)


@pytest.fixture(scope="module")
def lost(trained, sweep):
    """The point of the lowest loss of another family, whose weights were deleted."""
    runs = [trained("mpnn", {"width": 4, "depth": 1}, family="emptied", seed=seed) for seed in (33, 34)]
    lowest = min((point for _, points in runs for point in points), key=lambda point: point.loss)
    shutil.rmtree(sweep / "trials" / lowest.trial_id / "checkpoints")
    return lowest


@pytest.fixture
def export(sweep, store, tmp_path):
    """Run `raysweep export` of the storage into a file of the test."""

    def run(trial: str, *options: str, data: str | None = str(store.location)) -> tuple[object, Path]:
        given = [] if data is None else ["--data", data]
        file = tmp_path / "model.rsm"
        return CliRunner().invoke(app, ["export", str(sweep), trial, str(file), *given, *options]), file

    return run


def test_best_of_a_family_and_a_trial_by_its_first_digits_give_the_same_file(best, export):
    done, file = export("best", "--family", "small", "--json")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert printed["file"] == str(file)
    assert printed["origin"]["trial_id"] == best.trial_id
    assert printed["origin"]["point"]["loss"] == best.loss
    assert load(file).record.model_dump(mode="json") == {
        key: printed[key] for key in printed if key not in ("file", "card", "registered")
    }
    assert Path(printed["card"]).read_text(encoding="utf-8") == load(file).card()
    written = file.read_bytes()
    file.unlink()

    named, _ = export(best.trial_id[:12], "--budget", f"{best.budget:g}")
    assert named.exit_code == 0, named.output
    assert file.read_bytes() == written
    rows = dict(line.split(None, 1) for line in named.stdout.splitlines())
    assert rows["model"] == str(file)
    assert rows["network"].split()[0] == "mpnn"
    assert {"width=4", "depth=1"} <= set(rows["network"].split())
    assert rows["trial"].startswith(f"{best.trial_id}, budget {best.budget:g} data")
    assert f"loss {best.loss:.4g}" in rows["errors"]


def test_a_lower_point_without_weights_is_named_where_best_passes_over_it(lost, export):
    done, file = export("best", "--family", "emptied")
    assert done.exit_code == 0, done.output
    assert f"note: trial {lost.trial_id} has a loss of {lost.loss:.4g} at budget {lost.budget:g}" in done.stderr
    origin = load(file).record.origin
    assert origin.trial_id != lost.trial_id
    assert origin.point["loss"] > lost.loss
    file.unlink()
    refused, _ = export(lost.trial_id)
    assert isinstance(refused.exception, ModelError)
    assert "keep_weights: all" in str(refused.exception)
    assert not file.exists()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("ffffffffffff",), "there is no such trial"),
        (("best", "--family", "nobody"), "family 'nobody' is none of the sweep's"),
        (("best", "--family", "small", "--budget", "7"), "the sweep has no points at budget 7"),
    ],
)
def test_what_cannot_be_exported_is_told_with_a_remedy_and_leaves_no_file(given, told, best, export):
    refused, file = export(*given)
    assert isinstance(refused.exception, ModelError)
    assert told in str(refused.exception)
    assert not file.exists()


def test_a_sweep_that_names_no_store_and_a_store_that_is_not_there_are_refused(best, export, tmp_path):
    unnamed, file = export(best.trial_id, data=None)
    assert isinstance(unnamed.exception, ModelError)
    assert "give the store (--data)" in str(unnamed.exception)
    absent, _ = export(best.trial_id, data=str(tmp_path / "absent"))
    assert isinstance(absent.exception, DataError)
    assert not file.exists()


def test_registering_needs_the_search_space_that_says_where_mlflow_is(best, export, tmp_path):
    refused, file = export(best.trial_id, "--register", "some")
    assert isinstance(refused.exception, ModelError)
    assert "give the search space (YAML)" in str(refused.exception)
    assert not file.exists()


def test_a_registered_model_is_loaded_by_mlflow_alone_and_computes_the_same(best, sweep, store, tmp_path, monkeypatch):
    space, database = tmp_path / "space.yaml", f"sqlite:///{tmp_path}/mlflow.db"
    content = {
        "name": "toy", "storage": str(sweep), "data": {"store": str(store.location)}, "tracking": {"uri": database},
        "families": {"small": {"architecture": "mpnn", "sizes": {"width": [4], "depth": [1]}}},
        "grid": {"structures": [20, 60]}, "learning_rate": {"rates": {"small": 0.01}},
    }  # fmt: skip
    space.write_text(yaml.safe_dump(content))
    synced = CliRunner().invoke(app, ["sync", str(space)])
    assert synced.exit_code == 0, (synced.output, synced.exception)
    (tmp_path / "down").mkdir()
    file = tmp_path / "model.rsm"
    command = ["export", str(space), best.trial_id, str(file), "--budget", f"{best.budget:g}", "--register", "small"]
    done = CliRunner().invoke(app, [*command, "--data", str(store.location)])
    assert done.exit_code == 0, (done.output, done.exception)
    assert dict(line.split(None, 1) for line in done.stdout.splitlines())["registered"] == "models:/small/1"

    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    folder = Path(mlflow.artifacts.download_artifacts("models:/small/1", dst_path=str(tmp_path / "down")))
    assert (folder / "model.rsm").read_bytes() == file.read_bytes()
    assert (folder / "model.rsm.md").read_text(encoding="utf-8") == load(file).card()
    water = molecule("H2O")
    energies = []
    for path in (file, folder / "model.rsm"):
        water.calc = load(path).calculator()
        energies.append(water.get_potential_energy())
    assert energies[0] == energies[1]
