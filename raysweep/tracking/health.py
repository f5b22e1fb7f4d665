"""Whether MLflow can be reached, and is of the schema and version that this one writes."""

import urllib.error
import urllib.request
from pathlib import Path

from raysweep.tracking.connection import quiet

TIMEOUT_SECONDS = 10.0
_SQLITE = "sqlite:///"


def trouble(uri: str) -> tuple[str, str] | None:
    """Return what is wrong with a tracking URI, and the remedy; None where a sweep can write there.

    Nothing is created or changed. A SQLite file that is not there yet is no trouble: a sweep makes it.
    """
    quiet(None)
    if uri.startswith(("http://", "https://")):
        return _of_server(uri.rstrip("/"))
    if uri.startswith(_SQLITE) and not Path(uri.removeprefix(_SQLITE)).exists():
        return None
    return _of_database(uri)


def _of_server(uri: str) -> tuple[str, str] | None:
    try:
        _get(f"{uri}/health")
        version = _get(f"{uri}/version").strip()
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            remedy = "give MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
            return f"MLflow at {uri} refuses us ({error.code})", remedy
        return f"{uri} answers {error.code}: it is no MLflow server", "correct tracking.uri"
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        remedy = "start the server, open its port to this machine, or correct tracking.uri"
        return f"MLflow at {uri} is not reached ({reason})", remedy
    from mlflow.version import VERSION

    if version.split(".")[:2] != VERSION.split(".")[:2]:
        text = f"MLflow at {uri} is version {version}, and this environment has {VERSION}"
        return text, f"pip install mlflow=={VERSION} there, then mlflow db upgrade on its database"
    return None


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # http and https alone, see `trouble`
        return str(answer.read(4096).decode(errors="replace"))


def _of_database(uri: str) -> tuple[str, str] | None:
    import sqlalchemy
    from mlflow.store.db.utils import _get_latest_schema_revision, _get_schema_version

    shown = sqlalchemy.engine.make_url(uri).render_as_string(hide_password=True)
    engine = sqlalchemy.create_engine(uri)
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("select 1"))
        found, latest = _get_schema_version(engine), _get_latest_schema_revision()  # type: ignore[no-untyped-call]
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        reason = " ".join(str(error).split())[:200]
        return (
            f"MLflow's database {shown} is not reached ({reason})",
            "start it, open its port, or correct tracking.uri",
        )
    finally:
        engine.dispose()
    if found == latest:
        return None
    if found is None:
        return f"MLflow's database {shown} has no tables", f"mlflow db upgrade {shown}"
    return (
        f"MLflow's database {shown} has schema {found}, and this MLflow needs {latest}",
        f"mlflow db upgrade {shown}, after a backup and with no sweep running",
    )
