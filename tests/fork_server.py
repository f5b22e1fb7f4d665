"""A process that has imported what a sweep's driver needs, and forks a driver whenever it is asked for one.

Importing Ray, torch and MLflow takes a driver longer than a toy sweep takes, so tests that start many drivers start
them from here (see tests/drivers.py). A fork is a process of its own, in a session, folder and environment of its own;
only its modules were imported before it began.

    python fork_server.py SOCKET
"""

import atexit
import contextlib
import ctypes
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
import threading
from typing import Any

from forked_worker import fork_workers

from raysweep.cli.app import main as raysweep
from raysweep.sweep.cluster.ray.variables import ray_variables

FIXED = {"RAY_JOB_ID": b"a1b2c3d4", "RAY_RAYLET_PID": b"0918273645"}
"""Variables of a worker that Ray reads only when it is imported, with values of full length that no other text has."""
LONGEST_REQUEST = 1_000_000
STATUS: list[int] = []
"""Exit status of a fork, once it is known."""
PRELOADED = (
    "torch", "ray", "ray.tune", "mlflow", "mlflow.tracking", "mlflow.entities", "mlflow.store.db.utils", "optuna",
    "mlflow.store.tracking.sqlalchemy_store", "pandas", "pyarrow.parquet", "scipy.optimize", "scipy.stats", "jinja2",
    "matplotlib.figure", "matplotlib.backends.backend_agg", "rich.live", "raysweep.report", "raysweep.tracking",
    "raysweep.frontier", "raysweep.sweep.run", "raysweep.sweep.engine.tune_stage", "raysweep.sweep.engine.trainable",
)  # fmt: skip


def serve(listener: socket.socket) -> dict[str, Any]:
    """Answer each connection with the pid of a fork and, once that has ended, its status; return in each fork."""
    woken, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([listener, woken, sys.stdin], [], [])
        if sys.stdin in ready:  # whoever started this process has ended
            sys.exit()
        if woken in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(woken, 4096)
            for pid in list(running):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    with running.pop(pid) as connection, contextlib.suppress(OSError):
                        connection.send(f"{os.waitstatus_to_exitcode(status)}\n".encode())
        if listener in ready:
            connection, _ = listener.accept()
            message, streams, _, _ = socket.recv_fds(connection, LONGEST_REQUEST, 3)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for opened in (woken, wake):
                    os.close(opened)
                for opened in (listener, connection, *running.values()):
                    opened.close()
                return {**json.loads(message), "streams": streams}
            for stream in streams:
                os.close(stream)
            running[pid] = connection
            connection.send(f"{pid}\n".encode())


def become(request: dict[str, Any]) -> None:
    """Become what a shell would have started: take its session, terminal, streams, folder and environment."""
    os.setsid()
    streams = request["streams"]
    if request["terminal"]:  # the first that a new session opens is its own
        streams = [os.open(request["terminal"], os.O_RDWR)] * 3
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for stream in {*streams} - {0, 1, 2}:
        os.close(stream)
    for name in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.default_int_handler if name == signal.SIGINT else signal.SIG_DFL)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:0] = [path for path in paths if path not in sys.path]
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), line_buffering=os.isatty(1), encoding="utf-8")
    sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb", closefd=False), line_buffering=True, encoding="utf-8")
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]


def find_fixed() -> dict[str, int]:
    """Return where Ray's library keeps the values that it reads only once, by variable."""
    found: dict[str, int] = {}
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb") as memory:
        for begin, end in (line.split()[0].split("-") for line in maps if line.split()[5:] == ["[heap]"]):
            memory.seek(int(begin, 16))
            heap = memory.read(int(end, 16) - int(begin, 16))
            for name, text in FIXED.items():
                head = struct.pack("<QQ", len(text), len(text))  # length, capacity and users of a C++ string
                place = heap.find(head)
                while place >= 0:
                    if heap.startswith(text, place + 24):
                        found[name] = int(begin, 16) + place + 24
                    place = heap.find(head, place + 1)
    return found


def prepare_ray(at: str) -> None:
    """Have Ray read its variables anew, and the workers of a Ray that this process starts forked, too."""
    from ray._raylet import Config

    Config.initialize("")
    fork_workers(at)


def put_in(fixed: dict[str, int], command: list[str]) -> None:
    """Put in the values of this process where Ray has read others; start a worker anew where that is not possible."""
    values = {name: os.environ.get(name, "").encode() for name in FIXED}
    if fixed.keys() == FIXED.keys():
        for name, address in fixed.items():  # none in a driver
            length = struct.pack("<Q", len(values[name]))
            ctypes.memmove(address, values[name] + b"\0", len(values[name]) + 1)
            ctypes.memmove(address - 24, length, len(length))
    elif all(values.values()):  # a worker of another Ray
        os.execv(sys.executable, [sys.executable, *command])


def run(program: str, *arguments: str) -> None:
    """Run a program as Python does: `raysweep`, or a script."""
    sys.argv = [program, *arguments]
    if os.path.basename(program) == "raysweep":
        sys.exit(raysweep())
    sys.path.insert(0, os.path.dirname(program))
    runpy.run_path(program, run_name="__main__")


def leave() -> None:
    """End a fork whose status is known, after all else that Python does: to take modules apart copies their memory."""
    if STATUS:
        with contextlib.suppress(OSError, ValueError):  # of which Python itself complains
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(STATUS[0] & 0xFF)


def main() -> None:
    """Import, then serve; each fork runs its program and ends as a Python process ends."""
    atexit.register(leave)  # first, so that it is called last
    os.environ |= {name: text.decode() for name, text in FIXED.items()}
    with ray_variables():
        for name in PRELOADED:
            importlib.import_module(name)
    fixed = find_fixed()
    gc.freeze()  # no collection in a fork writes to, and so copies, what was imported
    threads = [thread.name for thread in threading.enumerate()]
    assert threads == ["MainThread"], f"forks would lack threads that an import started: {threads}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen()
        sys.stdout.write(f"ready {' '.join(fixed)}\n")
        sys.stdout.flush()
        request = serve(listener)
    become(request)
    prepare_ray(sys.argv[1])
    put_in(fixed, request["command"])
    try:
        run(*request["command"])
        STATUS.append(0)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            STATUS.append(end.code or 0)
        raise


if __name__ == "__main__":
    main()
