"""A Ray head on the loopback address, with a token, and the command line as its user."""

import contextlib
import os
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import requests

from tests.drivers import RAYSWEEP, Driver, run

BIN = Path(sys.executable).parent
TOYS = Path(__file__).parents[1] / "sweep" / "toy_trials.py"
SPACE = """
name: toy
storage: {storage}
entrypoint: toy_trials:train
families:
  alpha:
    architecture: toy-a
    fixed: {{nap: {nap}, while: {hold}}}
    sizes: {{width: [8, 16, 32]}}
grid:
  structures: [100, 200, 400]
learning_rate: {{rates: {{alpha: 0.02}}}}
tracking: {{enabled: false}}
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Head:
    """`ray start --head --block` in a folder of its own; it ends with all that it started."""

    folder: Path
    options: tuple[str, ...] = ("--num-cpus", "2")
    token: str | None = field(default_factory=lambda: secrets.token_hex(16))
    port: int = field(default_factory=free_port)
    dashboard: int = field(default_factory=free_port)
    process: Driver | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.dashboard}"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "RAYSWEEP_"))}
        tokens = (
            {"RAY_AUTH_TOKEN": self.token, "RAY_AUTH_MODE": "token"} if self.token else {"RAY_AUTH_MODE": "disabled"}
        )
        home = self.folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        return {
            **kept,
            **tokens,
            "HOME": str(home),  # where a developer's own token is not
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            "RAY_worker_niceness": "0",
            "RAY_prestart_worker_first_driver": "0",
        }

    def start(self) -> None:
        """Start it, anew where a part of it died: on a busy machine Ray's agents miss the 15 s that Ray gives them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        agent = free_port()
        command = [
            str(Path(__file__).with_name("ray_start.py")), "start", "--head", "--block", "--node-ip-address",
            "127.0.0.1", "--port", str(self.port), "--dashboard-host", "127.0.0.1", "--dashboard-port",
            str(self.dashboard), "--temp-dir", str(self.folder / "ray"), "--ray-client-server-port", str(free_port()),
            "--dashboard-agent-listen-port", str(agent), "--disable-usage-stats", *self.options,
        ]  # fmt: skip
        for _ in range(3):
            with (self.folder / "head.log").open("a") as log:
                self.process = Driver(command, folder=self.folder, environment=self.environment, errors=log)
            if self._is_up(agent):
                return
            self.kill()
        raise AssertionError(f"the head did not start:\n{(self.folder / 'head.log').read_text()[-3000:]}")

    def _is_up(self, agent: int) -> bool:
        """Wait for its dashboard and for the agent that starts jobs; False once it has ended."""
        assert self.process is not None
        until = time.monotonic() + 120
        while time.monotonic() < until and self.process.poll() is None:
            with contextlib.suppress(requests.RequestException):
                for url in (f"{self.address}/api/version", f"http://127.0.0.1:{agent}/api/local_raylet_healthz"):
                    requests.get(url, headers=self.headers, timeout=5).raise_for_status()
                return True
            time.sleep(0.2)
        return False

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def kill(self) -> None:
        """End it as a lost machine ends: every process of its session at once."""
        if self.process is None:
            return
        for end in (
            lambda: os.killpg(self.process.pid, signal.SIGKILL),
            *map(_kill, processes_of(str(self.folder / "ray"))),
        ):
            with contextlib.suppress(ProcessLookupError):
                end()
        self.process.wait()
        self.process.stdout.close()
        self.process = None


def _kill(pid: int) -> Callable[[], None]:
    return lambda: os.kill(pid, signal.SIGKILL)


def short_folder() -> Path:
    """Return a new folder; a socket's path has 107 characters at most, and Ray takes most of them."""
    return Path(tempfile.mkdtemp(prefix="rs-"))


def processes_of(mark: str) -> list[int]:
    """Return the processes that were started for a Ray whose folder this is: by command line or environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            text = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:
            continue
        if mark.encode() in text:
            found.append(int(folder.name))
    return found


class Begun(Driver):
    """A command line of a user that runs, with the two streams apart."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - until it has ended
        super().__init__(command, folder=folder, environment=environment, errors=self._errors)

    def streams(self, timeout: float) -> tuple[str, str]:
        """Wait for the end, and return what was printed to standard output and error."""
        output, _ = self.communicate(timeout)
        with self._errors as errors:
            errors.seek(0)
            return output, errors.read()


@dataclass(frozen=True)
class User:
    """A folder with a search space, from which the command line is called."""

    folder: Path
    head: Head

    def begin(self, *arguments: str, **environment: str) -> Begun:
        return Begun([RAYSWEEP, *arguments], self.folder, {**self.head.environment, **environment})

    def call(self, *arguments: str, status: int = 0, **environment: str) -> tuple[str, str]:
        done = run([RAYSWEEP, *arguments], folder=self.folder, environment={**self.head.environment, **environment})
        assert done.returncode == status, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout, done.stderr


UserMaker = Callable[..., User]
