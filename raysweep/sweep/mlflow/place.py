"""The location of a sweep in MLflow, from its search space."""

from pathlib import Path

from raysweep.core.io.files import open_location
from raysweep.core.masking import masked
from raysweep.storage import layout
from raysweep.sweep.space.space import Space
from raysweep.tracking.connection import default_uri
from raysweep.tracking.mlflow import MlflowMirror
from raysweep.tracking.sweep_runs import MlflowPlace


def place_of(space: Space) -> MlflowPlace:
    """Work out where MLflow keeps a sweep.

    Raises:
        TrackingError: no tracking URI is given, and the storage is not a local folder.
    """
    uri = space.tracking.uri or default_uri(space.storage)  # before accessing the storage, which may be slow
    local = "://" not in space.storage
    root = open_location(space.storage)[1]
    return MlflowPlace(
        uri=uri,
        experiment=space.tracking.experiment or space.name,
        sweep=space.name,
        storage="" if space.tracking.uri is None else root if local else masked(space.storage),
        log=Path(root) / layout.LOGS / layout.MLFLOW_LOG if local else None,
    )


def mirror_of(space: Space) -> MlflowMirror:
    """Start the listener that mirrors a sweep's trials into MLflow."""
    place = place_of(space)
    return MlflowMirror(place.uri, place.experiment, place.sweep, storage=place.storage, log=place.log)
