"""Registered model versions in MLflow: a model file among the artifacts of its trial's run, with its card."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raysweep.core.errors import TrackingError
from raysweep.core.hashing import digest
from raysweep.core.io.temporary import temporary_folder
from raysweep.core.masking import masked
from raysweep.tracking.client import client_for
from raysweep.tracking.connection import connect, out_of_reach
from raysweep.tracking.entries import KIND, STORAGE, SWEEP, TRIAL_ID, entries, rank
from raysweep.tracking.mlflow import tracking_errors
from raysweep.tracking.sweep_runs import WRITE_LOCK, MlflowPlace

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

FOLDER = "models"
SHA256 = "raysweep.sha256"
"""Tag of a version: digest of the model file, by which a file that is registered already is found."""
LONGEST = 5000
"""Characters of a description that MLflow's databases hold."""
_NAMES = "a name of a registered model has neither / nor :, and is not empty"


@dataclass(frozen=True, kw_only=True)
class RegisteredVersion:
    """A version of a registered model.

    Attributes:
        name: of the registered model.
        version: its number, 1 for the first.
        run_id: the trial's run, which has the files as artifacts.
        created: whether this call created it; otherwise it had the same file already.
    """

    name: str
    version: int
    run_id: str
    created: bool

    @property
    def uri(self) -> str:
        """What `mlflow.artifacts.download_artifacts` takes: the folder with the model file and its card."""
        return f"models:/{self.name}/{self.version}"


def register_model(
    place: MlflowPlace, name: str, model: tuple[str, bytes], card: tuple[str, str], trial_id: str
) -> RegisteredVersion:
    """Attach a model file and its card to a trial's run, and register them as a new version of a model.

    Args:
        place: where MLflow keeps the sweep.
        name: of the registered model, created if there is none.
        model: name and content of the file.
        card: name and Markdown text of its card, the version's description.
        trial_id: of the trial.

    Raises:
        TrackingError: MLflow cannot be reached, has no run of the trial, or refuses the name.
    """
    if not name.strip() or set(name) & set("/:"):
        raise TrackingError(f"registered model {name!r}: {_NAMES}")
    sha256 = digest(model[1])
    with tracking_errors(place.uri), WRITE_LOCK:
        client = connect(place.uri, place.log, create=False)
        run = _run_of(client, place, trial_id)
        _ensure_model(client, name)
        for known in client.search_model_versions(f"tags.`{SHA256}` = '{sha256}'"):
            if known.name == name:
                return RegisteredVersion(
                    name=name, version=int(known.version), run_id=known.run_id or run.info.run_id, created=False
                )
        folder = f"{FOLDER}/{sha256[:16]}"
        _attach(client, run.info.run_id, folder, {model[0]: model[1], card[0]: card[1].encode()})
        made = client.create_model_version(
            name,
            source=f"{run.info.artifact_uri}/{folder}",
            run_id=run.info.run_id,
            tags={SHA256: sha256, TRIAL_ID: trial_id},
            description=_shortened(card[1], card[0]),
        )
        return RegisteredVersion(name=name, version=int(made.version), run_id=run.info.run_id, created=True)


def _run_of(client: "MlflowClient", place: MlflowPlace, trial_id: str) -> "Run":
    """Find the run of a trial, and check that its artifacts can be written from here."""
    found = client.get_experiment_by_name(place.experiment)
    known = [] if found is None else entries(client_for(client, place.uri), found.experiment_id)
    own = [
        entry
        for entry in known
        if (entry.tags[KIND], entry.tags.get(TRIAL_ID)) == ("trial", trial_id)
        and (entry.tags.get(SWEEP), entry.tags.get(STORAGE, "")) == (place.sweep, place.storage)
    ]
    if not own:
        raise TrackingError(
            f"MLflow at {masked(place.uri)} has no run of trial {trial_id} in experiment {place.experiment!r}; "
            "`raysweep sync` writes it"
        )
    run = client.get_run(max(own, key=rank).run_id)
    if out_of_reach(place.uri, run.info.artifact_uri or ""):
        raise TrackingError(
            f"MLflow at {masked(place.uri)} keeps artifacts in {run.info.artifact_uri}, a folder that only its own "
            "host can reach; start it with --artifacts-destination"
        )
    return run


def _ensure_model(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        client.get_registered_model(name)  # of a prompt of this name MLflow says the same


def _attach(client: "MlflowClient", run_id: str, folder: str, files: Mapping[str, bytes]) -> None:
    with temporary_folder("model") as own:
        place = own.path / "files"  # not next to the file that marks the folder as ours
        place.mkdir()
        for name, content in files.items():
            (place / Path(name).name).write_bytes(content)
        client.log_artifacts(run_id, str(place), artifact_path=folder)


def _shortened(card: str, file: str) -> str:
    """Cut a card at the end of a line, where it is longer than a description may be."""
    if len(card) <= LONGEST:
        return card
    rest = f"\n\nShortened: the whole card is the artifact {Path(file).name}."
    return card[: card[: LONGEST - len(rest)].rfind("\n")] + rest
