"""Checks that MLflow can be reached, and has the schema and version of the MLflow installed here."""

from urllib.parse import urlsplit

from raysweep.core.io.proxies import LOOPBACK, is_loopback, proxy_of
from raysweep.core.masking import masked
from raysweep.tracking import internals
from raysweep.tracking.connection import database_of, quiet, reason

TIMEOUT_SECONDS = 10.0


def trouble(uri: str) -> tuple[str, str] | None:
    """Find what is wrong with a tracking URI, with its remedy; None if a sweep can write there.

    Nothing is created or changed. A SQLite file that does not exist yet is no trouble: a sweep creates it.
    """
    quiet(None)
    if uri.startswith(("http://", "https://")):
        return _of_server(uri.rstrip("/"))
    database = database_of(uri)
    if database is not None and not database.exists():
        return None
    return _of_database(uri)


def proxy_warning(uri: str) -> tuple[str, str] | None:
    """Warn, with a remedy, if the environment's proxy intercepts requests to this machine.

    Call it before `trouble`, which exempts them.
    """
    proxy = proxy_of(uri) if uri.startswith(("http://", "https://")) else None
    if proxy is None or not is_loopback(urlsplit(uri).hostname or ""):
        return None
    text = f"{proxy} intercepts requests to MLflow at {masked(uri)}; raysweep bypasses it, other programs do not"
    return text, f"export NO_PROXY={','.join(LOOPBACK)}"


def _of_server(uri: str) -> tuple[str, str] | None:
    found, proxy = _asked(uri), proxy_of(uri)
    if found is None or proxy is None:
        return found
    remedy = f"export NO_PROXY={urlsplit(uri).hostname}"
    if _asked(uri, proxies={"http": "", "https": "", "all": ""}) is None:
        return f"{proxy} blocks MLflow at {masked(uri)}, which answers without it", remedy
    return f"{found[0]}, requested through {proxy}", f"{found[1]}; if the proxy is in the way, {remedy}"


def _asked(uri: str, **how: object) -> tuple[str, str] | None:
    """Query a server as MLflow's client does, with its user and password, certificates and proxies."""
    from mlflow.exceptions import MlflowException
    from mlflow.version import VERSION

    shown = masked(uri)
    try:
        status, version = _get(uri, "/health", **how)
        if status == 200:
            status, version = _get(uri, "/version", **how)
    except (MlflowException, OSError, ValueError) as error:
        remedy = "start the server, open its port to this machine, or correct tracking.uri"
        why = reason(error).replace(uri, shown)
        if "certificate" in why.lower():
            remedy = "give its certificate authority in REQUESTS_CA_BUNDLE, or MLFLOW_TRACKING_SERVER_CERT_PATH"
        return f"MLflow at {shown} cannot be reached ({why})", remedy
    if status in (401, 403):
        remedy = "give MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        return f"MLflow at {shown} denies access ({status})", remedy
    if status != 200:
        return f"{shown} answers {status}: it is not an MLflow server", "correct tracking.uri"
    version = version.strip()
    if version.split(".")[:2] != VERSION.split(".")[:2]:
        text = f"MLflow at {shown} is version {version[:40]}, and this environment has {VERSION}"
        return text, f"pip install mlflow=={VERSION} there, then mlflow db upgrade on its database"
    return None


def _get(uri: str, path: str, **how: object) -> tuple[int, str]:
    answer = internals.request(uri, path, "GET", timeout=TIMEOUT_SECONDS, max_retries=0, raise_on_status=False, **how)
    return int(answer.status_code), str(answer.text[:4096])


def _of_database(uri: str) -> tuple[str, str] | None:
    import sqlalchemy

    shown = masked(uri)
    engine = sqlalchemy.create_engine(uri)
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("select 1"))
        found, latest = internals.schema_revisions(engine)
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        why = " ".join(masked(str(error)).split())[:200]
        return (
            f"MLflow's database {shown} cannot be reached ({why})",
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
