"""The points of a search space's sweep: from its MLflow, or from its storage where MLflow cannot be queried."""

import os

import pyarrow as pa

from raysweep.frontier.points.readers import as_table, read_store
from raysweep.sweep.mlflow.place import place_of
from raysweep.sweep.space.space import Space
from raysweep.tracking.connection import database_of
from raysweep.tracking.mlflow import read_points


def points_of(space: Space) -> pa.Table:
    """Read the points of a space's sweep, as the estimator takes them.

    Raises:
        TrackingError: MLflow cannot be queried, or has no such sweep.
        FrontierError: there are no points yet.
    """
    if not space.tracking.enabled:
        return read_store(space.storage)
    place = place_of(space)
    database = database_of(place.uri)
    if database is not None and database.exists() and not os.access(database, os.W_OK):
        # MLflow cannot query a database on a read-only disk; the storage has the same points.
        return read_store(space.storage)
    runs = read_points(
        place.experiment, place.uri, sweep_name=place.sweep, storage=place.storage or None, log=place.log
    )
    return as_table(runs, f"MLflow experiment {place.experiment!r}")
