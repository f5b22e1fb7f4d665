"""A server on loopback that speaks S3 (moto), and counts the bytes of the objects that it gives away."""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

BUCKET = "bucket"


class Counted:
    """A WSGI application that counts bytes given and taken, and requests, by path."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        self.given: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterator[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if method in ("PUT", "POST"):
            with self._lock:
                self.taken[path] += int(environ.get("CONTENT_LENGTH") or 0)
        for piece in self._application(environ, start_response):
            if method == "GET":
                with self._lock:
                    self.given[path] += len(piece)
            yield piece

    def of(self, ending: str) -> int:
        """Return the bytes given of objects whose path ends so."""
        return sum(count for path, count in self.given.items() if path.endswith(ending))


@contextmanager
def s3_server() -> Iterator[Counted]:
    """Run a server with one empty bucket; pyarrow, here and in processes begun within, finds it by the environment."""
    counted = Counted(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, counted, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    settings = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        for path in ("/moto-api/reset", f"/{BUCKET}"):
            method = "POST" if path.startswith("/moto") else "PUT"
            host = {} if method == "POST" else {"Host": "s3.us-east-1.amazonaws.com"}
            urlopen(Request(settings["AWS_ENDPOINT_URL"] + path, method=method, data=b"", headers=host)).close()
        counted.given.clear()
        yield counted
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        server.shutdown()
        thread.join()
        server.server_close()
