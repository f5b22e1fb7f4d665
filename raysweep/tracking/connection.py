"""Connections to MLflow: quiet, without telemetry, with a SQLite database that exactly one process creates."""

import contextlib
import logging
import os
import re
import sqlite3
import sys
import urllib.parse
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from raysweep.core.errors import TrackingError
from raysweep.core.io.files import open_location
from raysweep.core.io.proxies import spare_loopback
from raysweep.core.masking import masked
from raysweep.storage import layout
from raysweep.tracking.internals import create_tables

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_SQLITE = "sqlite:///"
_NOISY = ("mlflow", "alembic", "sqlalchemy", "huey")
_OUR_ARTIFACTS = rf"file:///(?:.*/)?{layout.MLFLOW_ARTIFACTS}"
_SERVERS_OF_DATABASES = ("postgresql", "mysql", "mssql")
_IN_MEMORY = r"sqlite(?:\+\w+)?:(?://)?/?(?:(?:file:)?:memory:)?(?:\?.*)?"
_MOVE_EXPERIMENTS = "UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?"
_MOVE_RUNS = "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) WHERE substr(artifact_uri, 1, ?) = ?"
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_CONFIGURE_LOGGING": "0",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # A retry at this level may create a run twice, and delays `close`: the mirror checks what failed and retries.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}

_OURS = (logging.FileHandler, logging.NullHandler)

logger = logging.getLogger("raysweep.tracking")


class _Masking(logging.Formatter):
    """Formats records, tracebacks included, without the passwords in their addresses."""

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


class _LossyLog(logging.FileHandler):
    """A log file that drops lines that cannot be written: a full disk or a lost folder must not end the work."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):  # of opening it, which the handler of the standard library raises
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Print no traceback."""

    def close(self) -> None:
        """Close the file; buffered lines that cannot be written are lost."""
        with contextlib.suppress(OSError):
            super().close()


def default_uri(storage: str) -> str:
    """Build the default tracking URI of a sweep: a SQLite file in its storage.

    Raises:
        TrackingError: the storage is not a local folder, so it cannot hold a database.
    """
    if "://" in storage and not storage.startswith("file://"):
        raise TrackingError(
            f"tracking.uri: none is given, and SQLite cannot live in {storage!r}; "
            "give a server (http://...), a database, or sqlite:////local/folder/mlflow.db"
        )
    place = f"{open_location(storage)[1]}/{layout.MLFLOW_DATABASE}"
    # SQLAlchemy reads a database's name as a part of an address: `?` would end it, and `%41` be an A.
    return _SQLITE + (urllib.parse.quote(place) if set(place) & set("%?#") else place)


def database_of(tracking_uri: str) -> Path | None:
    """Find the file of a SQLite tracking URI; None for other kinds of MLflow."""
    if not tracking_uri.startswith(_SQLITE):
        return None
    return Path(urllib.parse.unquote(tracking_uri.removeprefix(_SQLITE).partition("?")[0]))


def reason(error: BaseException) -> str:
    """Summarise in one line why MLflow failed: the operating system's message if that is the root cause, else its own.

    MLflow and its parts wrap "Connection refused" five times over, each with the whole address.
    """
    cause: BaseException | None = error
    while cause is not None:
        deepest, cause = cause, cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    if deepest is not error and isinstance(deepest, OSError) and deepest.strerror:
        return deepest.strerror
    lines = masked(str(error)).splitlines()
    return f"{type(error).__name__}: {lines[0][:300] if lines else ''}"


def quiet(log: Path | None) -> None:
    """Redirect the messages of MLflow and its dependencies from the terminal into a log file; drop them without one."""
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    spare_loopback()
    # MLflow 3.17 uses a strategy that SQLAlchemy 2.1 deprecates: our users cannot act on that.
    warnings.filterwarnings("ignore", message="The ``noload`` loader strategy", category=DeprecationWarning)
    if log is None and "mlflow" in sys.modules:
        return  # in a notebook, whose user may want these messages
    handler: logging.Handler = logging.NullHandler()
    if log is not None:
        with contextlib.suppress(OSError):  # a storage that can be read only
            log.parent.mkdir(parents=True, exist_ok=True)
            log.open("a").close()
            handler = _LossyLog(log, delay=True)
            handler.setFormatter(_Masking("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    for name in (*_NOISY, *([logger.name] if log is not None else [])):
        noisy = logging.getLogger(name)
        kept = [old for old in noisy.handlers if name == logger.name and not isinstance(old, _OURS)]
        for old in noisy.handlers:
            if old not in kept:
                old.close()
        noisy.handlers = [handler, *kept]
        noisy.propagate = False
    logger.disabled = False  # a library that configures logging from a file (alembic) disables existing loggers


def connect(tracking_uri: str, log: Path | None = None, *, create: bool = True) -> "MlflowClient":
    """Connect to MLflow; a SQLite database that does not exist is created, whole or not at all.

    Raises:
        TrackingError: raysweep does not support this kind of URI, or (not `create`) there is no such file.
    """
    if tracking_uri.split(":", 1)[0] in ("", "file") or ":" not in tracking_uri:
        raise TrackingError(
            f"tracking.uri: MLflow no longer keeps runs in plain folders such as {tracking_uri!r}; "
            "use sqlite:////folder/mlflow.db, a database, or a server (http://...)"
        )
    if re.fullmatch(_IN_MEMORY, tracking_uri):
        raise TrackingError(
            f"tracking.uri: {tracking_uri!r} is an in-memory database, which ends with the command; "
            "use sqlite:////folder/mlflow.db"
        )
    path = database_of(tracking_uri)
    if path is not None and not create and not path.exists():
        raise TrackingError(f"MLflow's database {path} does not exist; run the sweep, or `raysweep sync` it")
    quiet(log)
    from mlflow.tracking import MlflowClient

    if path is not None:
        _create_database(path)
        _relocate_artifacts(path)
    elif tracking_uri.startswith(_SERVERS_OF_DATABASES):
        _ping(tracking_uri)
    return MlflowClient(tracking_uri=tracking_uri)


def _ping(database_uri: str) -> None:
    """Fail at once if a database does not answer; MLflow's client retries for 100 seconds in silence."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(database_uri)
    try:
        engine.connect().close()
    finally:
        engine.dispose()


def ensure_experiment(client: "MlflowClient", tracking_uri: str, name: str) -> str:
    """Find the experiment's id; it is created if it does not exist, and restored if it was deleted."""
    found = client.get_experiment_by_name(name)
    if found is None:
        # Otherwise artifacts would go into a folder `mlruns` in the working directory.
        database = database_of(tracking_uri)
        location = None if database is None else _artifacts_of(database)
        # This kind makes MLflow's UI open in its view for model training, not in that for language models.
        tags = {"mlflow.experimentKind": "custom_model_development"}
        return str(client.create_experiment(name, artifact_location=location, tags=tags))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
        logger.warning("MLflow's experiment %r had been deleted and is restored", name)
    return str(found.experiment_id)


def out_of_reach(tracking_uri: str, artifacts: str) -> bool:
    """Whether a server keeps artifacts in a folder of its own host, so that clients write them elsewhere, unseen."""
    return tracking_uri.startswith("http") and artifacts.startswith(("file:", "/"))


def _artifacts_of(database: Path) -> str:
    return (database.resolve().parent / layout.MLFLOW_ARTIFACTS).as_uri()


def _relocate_artifacts(database: Path) -> None:
    """Make a database that was moved or copied refer to the artifacts next to it, not to those at its former location.

    MLflow keeps absolute URIs. Only those in a folder `artifacts`, as `ensure_experiment` sets them, are changed.
    """
    here = _artifacts_of(database)
    try:
        with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection:
            rows = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
            others = [place for (place,) in rows if place and place != here and re.fullmatch(_OUR_ARTIFACTS, place)]
            with connection:
                for place in others:
                    connection.execute(_MOVE_EXPERIMENTS, (here, place))
                    connection.execute(_MOVE_RUNS, (here, len(place) + 1, len(place) + 1, f"{place}/"))
    except sqlite3.Error as error:  # read-only, or not an MLflow database, which MLflow itself reports
        logger.info("the artifact URIs in %s are unchanged: %s", database, error)


def _create_database(path: Path) -> None:
    """Create MLflow's tables: concurrent migrations of a fresh file fail, and leave it broken for good."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.parent / f".{path.name}.creating"):
        if path.exists():
            return
        import sqlalchemy

        # Created under another name and renamed: a process killed midway leaves nothing that looks like a database.
        new = path.with_name(f".{path.name}.new")
        new.unlink(missing_ok=True)
        engine = sqlalchemy.create_engine(sqlalchemy.URL.create("sqlite", database=str(new)))
        create_tables(engine)
        engine.dispose()
        new.replace(path)
