"""A model file is an artifact of its trial's run and a version of a registered model, with its card."""

from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient
from sweeps import trial_runs, view

from raysweep.core.errors import TrackingError
from raysweep.tracking.mlflow import sync
from raysweep.tracking.model_versions import LONGEST, register_model
from raysweep.tracking.sweep_runs import MlflowPlace

MODEL = ("model.rsm", bytes(range(256)) * 5)
CARD = ("model.rsm.md", "# a card\n\n* Å, σ and | pipes\n")


@pytest.fixture
def place(uri: str, monkeypatch: pytest.MonkeyPatch) -> MlflowPlace:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    sync([view(0), view(1)], tracking_uri=uri, experiment="some", sweep_name="toy")
    return MlflowPlace(uri, "some", "toy")


def downloaded(uri: str, into: Path) -> dict[str, bytes]:
    """The files behind an address, by MLflow's own function alone."""
    into.mkdir()
    folder = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(into)))
    return {file.name: file.read_bytes() for file in folder.rglob("*") if file.name in (MODEL[0], CARD[0])}


def test_a_version_has_the_file_and_its_card_and_is_made_once(place: MlflowPlace, tmp_path: Path) -> None:
    trial = view(0).trial_id
    first = register_model(place, "force field 'a'", MODEL, CARD, trial)
    assert (first.version, first.created, first.uri) == (1, True, "models:/force field 'a'/1")
    assert first.run_id == trial_runs(place.uri, "some")[trial].info.run_id
    assert downloaded(first.uri, tmp_path / "1") == dict([MODEL, (CARD[0], CARD[1].encode())])
    client = MlflowClient(place.uri)
    version = client.get_model_version(first.name, "1")
    assert version.description == CARD[1]
    assert version.tags["raysweep.trial_id"] == trial
    assert version.run_id == first.run_id
    assert [file.path for file in client.list_artifacts(first.run_id)] == ["models"]

    again = register_model(place, first.name, MODEL, CARD, trial)
    assert (again.version, again.created, again.run_id) == (1, False, first.run_id)
    other = register_model(place, first.name, (MODEL[0], b"other"), CARD, view(1).trial_id)
    assert (other.version, other.created) == (2, True)
    assert downloaded(other.uri, tmp_path / "2")[MODEL[0]] == b"other"
    assert downloaded(first.uri, tmp_path / "3")[MODEL[0]] == MODEL[1]

    later = sync([view(0), view(1)], tracking_uri=place.uri, experiment="some", sweep_name="toy")
    assert later.equal  # a registered model is no change to the trials


def test_a_long_card_is_cut_at_a_line_and_whole_among_the_artifacts(place: MlflowPlace, tmp_path: Path) -> None:
    card = "".join(f"* line {i}\n" for i in range(1000))
    made = register_model(place, "long", MODEL, (CARD[0], card), view(0).trial_id)
    description = MlflowClient(place.uri).get_model_version("long", "1").description
    assert LONGEST - 100 < len(description) <= LONGEST
    *lines, last = description.splitlines()
    assert "\n".join(lines).rstrip() in card
    assert last == "Shortened: the whole card is the artifact model.rsm.md."
    assert downloaded(made.uri, tmp_path / "long")[CARD[0]].decode() == card


@pytest.mark.parametrize("name", ["", " ", "a/b", "a:b"])
def test_names_that_mlflow_refuses_are_refused_before_anything_is_written(name: str, place: MlflowPlace) -> None:
    with pytest.raises(TrackingError, match="neither / nor :"):
        register_model(place, name, MODEL, CARD, view(0).trial_id)
    assert not MlflowClient(place.uri).search_registered_models()


def test_a_name_that_a_prompt_has_is_refused(place: MlflowPlace) -> None:
    MlflowClient(place.uri).register_prompt("taken", "a template")
    with pytest.raises(TrackingError, match="taken"):
        register_model(place, "taken", MODEL, CARD, view(0).trial_id)


def test_a_trial_without_a_run_and_an_absent_database_are_refused(place: MlflowPlace, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"has no run of trial ffff in experiment 'some'; `raysweep sync`"):
        register_model(place, "a", MODEL, CARD, "ffff")
    elsewhere = MlflowPlace(f"sqlite:///{tmp_path}/absent.db", "some", "toy")
    with pytest.raises(TrackingError, match="does not exist"):
        register_model(elsewhere, "a", MODEL, CARD, view(0).trial_id)
    assert not (tmp_path / "absent.db").exists()
    assert not MlflowClient(place.uri).search_registered_models()
