"""Addresses and tokens, as far as no cluster is needed."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from raysweep.core.errors import ClusterError
from raysweep.jobs import client
from raysweep.jobs.client import connect, in_clear, is_loopback


@pytest.mark.parametrize(
    ("address", "loopback", "readable"),
    [
        ("http://127.0.0.1:8265", True, False),
        ("http://localhost:8265", True, False),
        ("http://[::1]:8265", True, False),
        ("10.0.0.1:8265", False, True),
        ("http://head.example:8265", False, True),
        ("https://head.example", False, False),
    ],
)
def test_where_a_token_can_be_read_on_the_way(address: str, loopback: bool, readable: bool) -> None:
    host = address.split("://")[-1]
    host = host[: host.index("]") + 1] if host.startswith("[") else host.partition(":")[0]
    assert is_loopback(host) is loopback
    assert in_clear(address) is readable


@pytest.mark.parametrize("address", ["ray://head:10001", "auto://", "http://"])
def test_what_is_no_address_of_a_dashboard_is_refused(address: str) -> None:
    with pytest.raises(ClusterError, match="give the address of the dashboard, such as http://127"):
        connect(address)


class _Open(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def open_dashboard() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Open) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_dashboard_elsewhere_that_asks_for_no_token_is_refused(
    open_dashboard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "is_loopback", lambda _: False)
    with pytest.raises(ClusterError, match=r"runs jobs for anyone.*RAY_AUTH_MODE=token.*ssh -L.*--allow-open"):
        connect(open_dashboard)
