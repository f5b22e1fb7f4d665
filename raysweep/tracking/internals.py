"""All private parts of MLflow that raysweep uses; any release of MLflow may change them.

A test names each that no longer exists. MLflow's public client makes one request for each logged value, retries for
minutes, and has no call for the schema of a database.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import requests
    import sqlalchemy


def request(uri: str, path: str, method: str, **how: object) -> "requests.Response":
    """Send a request to an MLflow server, with the credentials of the environment."""
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    host = get_default_host_creds(uri)  # type: ignore[no-untyped-call]
    answer: requests.Response = http_request(host, path, method, **how)  # type: ignore[no-untyped-call]
    return answer


def verified(answer: "requests.Response", path: str) -> "requests.Response":
    """Check the answer of a server.

    Raises:
        MlflowException: it is an error, as the server states it.
    """
    from mlflow.utils.rest_utils import verify_rest_response

    found: requests.Response = verify_rest_response(answer, path)
    return found


def create_tables(engine: "sqlalchemy.Engine") -> None:
    """Create MLflow's tables in an empty database."""
    from mlflow.store.db.utils import _initialize_tables

    _initialize_tables(engine)  # type: ignore[no-untyped-call]


def schema_revisions(engine: "sqlalchemy.Engine") -> tuple[str | None, str]:
    """Read the schema revision of a database (None: it has no tables), and the one that this MLflow needs."""
    from mlflow.store.db.utils import _get_latest_schema_revision, _get_schema_version

    found: str | None = _get_schema_version(engine)  # type: ignore[no-untyped-call]
    latest: str = _get_latest_schema_revision()  # type: ignore[no-untyped-call]
    return found, latest
