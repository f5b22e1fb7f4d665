"""A client of a Ray cluster's jobs over HTTP, with a token, time limits, and errors that name the remedy."""

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from raysweep.core.errors import ClusterError
from raysweep.core.io.proxies import is_loopback, proxy_of, spare_loopback
from raysweep.sweep.cluster.ray.home import has_token

if TYPE_CHECKING:
    import requests
    from ray.job_submission import JobSubmissionClient

TIMEOUT_SECONDS = 30.0
"""Time limit of a response of the cluster; the upload of a package may take longer."""
TEXT_LENGTH = 600
TOKEN_HELP = (
    "give the cluster's token in RAY_AUTH_TOKEN, or as the file ~/.ray/auth_token or that of RAY_AUTH_TOKEN_PATH"
)


class Unreachable(ClusterError):
    """The cluster does not answer at the moment."""


def connect(address: str, *, allow_open: bool = False) -> "JobSubmissionClient":
    """Connect to the jobs of the cluster whose dashboard is at an address such as `http://127.0.0.1:8265`.

    Args:
        address: of the dashboard, `http://` or `https://`.
        allow_open: accept a cluster on another machine that requires no token.

    Raises:
        ClusterError: the cluster cannot be reached, refuses the token, or is open to anyone who can reach it.
    """
    parts = urlsplit(address if "://" in address else f"http://{address}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ClusterError(f"--address {address}: give the address of the dashboard, such as http://127.0.0.1:8265")
    url = f"{parts.scheme}://{parts.netloc}"
    use_token()
    spare_loopback()
    if not allow_open and not is_loopback(parts.hostname) and asks_no_token(url):
        raise ClusterError(
            f"{url} runs jobs for anyone who can reach it, since it requires no token. Start the cluster with "
            f"RAY_AUTH_MODE=token and a token, or reach it through a tunnel (ssh -L 8265:127.0.0.1:8265 HOST, then "
            "--address http://127.0.0.1:8265), or give --allow-open if its network is closed to others"
        )
    with errors_named(url):
        return _client(url)


def _client(url: str) -> "JobSubmissionClient":
    from ray.job_submission import JobSubmissionClient

    for name in ("job.sdk", "dashboard_sdk"):  # they report uploads and connections, which we report ourselves
        logging.getLogger(f"ray.dashboard.modules.{name}").setLevel(logging.ERROR)

    class _Timed(JobSubmissionClient):
        """A client with time limits: Ray's own waits forever when the network is cut."""

        def _do_request(
            self,
            method: str,
            endpoint: str,
            *,
            data: bytes | None = None,
            json_data: dict[str, object] | None = None,
            **how: object,
        ) -> "requests.Response":
            limited = {"timeout": TIMEOUT_SECONDS, **how}
            return super()._do_request(method, endpoint, data=data, json_data=json_data, **limited)

    return _Timed(url)


def url_of(client: "JobSubmissionClient") -> str:
    """The address that a client sends its requests to."""
    return str(client._address)


def in_clear(address: str) -> bool:
    """Whether a token is sent to an address unencrypted."""
    parts = urlsplit(address if "://" in address else f"http://{address}")
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def use_token() -> None:
    """Make Ray send a token where there is one; since 2.52 it does so only on request."""
    if has_token():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def asks_no_token(url: str) -> bool:
    """Check whether a cluster lists its jobs to a client without a token.

    Raises:
        ClusterError: the cluster cannot be reached.
    """
    import requests

    with errors_named(url):
        answer = requests.get(f"{url}/api/jobs/", timeout=TIMEOUT_SECONDS)
    return answer.status_code == 200


@contextlib.contextmanager
def errors_named(url: str) -> Iterator[None]:
    """Convert errors of Ray's client to errors that name the remedy.

    Raises:
        ClusterError: the cluster cannot be reached, or refuses the request.
    """
    try:
        import aiohttp  # part of ray[default]: without it there is no client
        import requests
        from ray.exceptions import AuthenticationError
    except ImportError as error:
        raise ClusterError(f"{error}: submitting needs Ray's job client; pip install 'raysweep[cluster]'") from error
    try:
        yield
    except AuthenticationError as error:
        given = "requires a token" if str(error).startswith("Authentication required") else "refused the token"
        raise ClusterError(f"{url} {given}: {TOKEN_HELP}") from error
    except aiohttp.WSServerHandshakeError as error:  # it answers, but has no such log
        raise ClusterError(f"{url}: {error.status} {error.message}") from error
    except (ConnectionError, requests.exceptions.RequestException, aiohttp.ClientError, TimeoutError) as error:
        reason = str(error) if isinstance(error, ConnectionError) else type(error).__name__
        raise Unreachable(
            f"{url} cannot be reached ({reason}). Is the head node up, is this its dashboard's address, and is the "
            f"tunnel or port-forward to it open?{_proxied(url)}"
        ) from error
    except RuntimeError as error:
        raise ClusterError(f"{url}: {_shortened(' '.join(str(error).split()))}{_proxied(url)}") from error


def _proxied(url: str) -> str:
    proxy = proxy_of(url)
    if proxy is None:
        return ""
    return f" It was requested through {proxy}: if that is in the way, export NO_PROXY={urlsplit(url).hostname}"


def _shortened(text: str) -> str:
    """Shorten a message of the dashboard, which may be a whole traceback, to its beginning and its end."""
    return text if len(text) <= TEXT_LENGTH else f"{text[:100]} ... {text[100 - TEXT_LENGTH :]}"
