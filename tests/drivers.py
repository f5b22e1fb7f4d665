"""Processes that run `raysweep` or a script, forked from one that has imported Ray, torch and MLflow already."""

import atexit
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO

RAYSWEEP = str(Path(sys.executable).parent / "raysweep")

_KEPT: "list[Driver]" = []
"""Drivers that run to the end of the tests, with their streams."""
_FIXED: list[str] = []


class Driver:
    """A process forked by the server; has what the tests use of `subprocess.Popen`."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        terminal: str = "",
        errors: IO[str] | None = None,
    ) -> None:
        """Start `raysweep ...` or `SCRIPT.py ...`.

        Args:
            command: the program and its arguments.
            folder: where to run it; here by default.
            environment: its variables; those of this process by default.
            terminal: the path of a terminal, which gets all that it prints; a pipe (`stdout`) by default.
            errors: the file that gets its standard error; the pipe by default.
        """
        request = {
            "command": list(command),
            "folder": str(folder or Path.cwd()),
            "environment": dict(os.environ if environment is None else environment),
            "terminal": terminal,
        }
        self.returncode: int | None = None
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(server())
        read, write = os.pipe()
        with open(os.devnull) as nothing, open(write, "w") as output:
            streams = [nothing.fileno(), output.fileno(), (errors or output).fileno()]
            socket.send_fds(self._connection, [json.dumps(request).encode()], streams)
        self.stdout = os.fdopen(read)
        if terminal:
            self.stdout.close()
        self._answers = self._connection.makefile("r")
        self.pid = int(self._answers.readline())

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        if self._ended(timeout) is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """Wait for the end, and return what was printed."""
        read: list[str] = []
        reader = threading.Thread(target=lambda: read.append(self.stdout.read()), daemon=True)
        reader.start()
        self.wait(timeout)
        reader.join(10)  # a child that outlives its driver may have the pipe open
        self.stdout.close()
        return "".join(read), None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._connection], [], [], timeout)[0]:
            self.returncode = int(self._answers.readline())
            self._answers.close()
            self._connection.close()
        return self.returncode


def run(
    command: Sequence[str],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    seconds: float = 240,
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    with tempfile.TemporaryFile("w+") as errors:
        driver = Driver(command, folder=folder, environment=environment, errors=errors)
        try:
            output, _ = driver.communicate(seconds)
        finally:
            driver.kill()
        errors.seek(0)
        return subprocess.CompletedProcess(list(command), driver.wait(), output, errors.read())


@cache
def shared_ray() -> dict[str, str]:
    """Return the variables of a driver that joins the Ray of this test process, started for the first one.

    It is not for tests that kill Ray or a driver, or look at how a sweep starts its own.
    """
    driver = Driver([str(Path(__file__).with_name("shared_ray.py"))], folder=Path("/"))
    address = next((line for line in driver.stdout if re.fullmatch(r"[\d.]+:\d+\n", line)), None)
    assert address is not None, "the Ray of the drivers did not start"
    _KEPT.append(driver)
    return {"RAY_ADDRESS": address.strip(), "RAY_AUTH_MODE": "token"}


def fixed_variables() -> list[str]:
    """Return the variables whose values the server has found in Ray's memory, so that it can fork workers."""
    server()
    return _FIXED


@cache
def server() -> str:
    """Start the server of forks of this test process, which ends with it; return its socket."""
    folder = tempfile.mkdtemp(prefix="forks-")
    atexit.register(shutil.rmtree, folder)
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "fork_server.py"), f"{folder}/socket"],
        # Ray reads its variables once for all: those of a test are for its driver alone.
        env={name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        | {"OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    ready, *found = server.stdout.readline().split() or [""]
    assert ready == "ready", "the server of forks did not start"
    _FIXED.extend(found)
    atexit.register(server.communicate)
    return f"{folder}/socket"
