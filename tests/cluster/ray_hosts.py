"""A Ray cluster of two hosts that are real as far as Ray can tell: addresses, sessions and processes of their own."""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from network import Host, Network

BIN = Path(sys.executable).parent
GCS, DASHBOARD = 6379, 8265
OBJECT_STORE = 100 * 2**20
STARTS = 3
"""How often the start of a cluster is tried."""


class Cluster:
    """Head and worker, one core each, with one token; and a third host that is no part of it."""

    def __init__(self, network: Network, shared: Path, environment: Mapping[str, str] | None = None) -> None:
        """Make the hosts.

        Args:
            network: where they stand.
            shared: a folder that all of them see, like NFS.
            environment: further variables of all processes.
        """
        self.shared, self.network = shared, network
        self.head, self.worker, self.outside = (network.host(name) for name in ("head", "worker", "outside"))
        self.token = secrets.token_hex(32)
        # Short: a socket's path holds 107 characters. Not shared: hosts have disks of their own.
        self.disk = Path(tempfile.mkdtemp(prefix="rs", dir="/tmp"))
        self.environment = {
            # As where the environment is activated: jobs run `python`.
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_TMPDIR": str(self.disk),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_prestart_worker_first_driver": "0",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]),
            **(environment or {}),
        }
        self.address = f"{self.head.address}:{GCS}"
        self.dashboard = f"http://{self.head.address}:{DASHBOARD}"

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *error: object) -> None:
        for host in self.network.hosts.values():
            host.kill()
        shutil.rmtree(self.disk, ignore_errors=True)

    def start(self, wrap: Sequence[str] = (), dashboard: bool = True) -> None:
        """Start Ray on both hosts and wait until they know each other; anew where it died as it started.

        On a busy machine Ray's agents miss the 15 s after which Ray gives up.
        """
        for _ in range(STARTS):
            if self._know_each_other([self.start_head(wrap, dashboard), self.start_worker(wrap)]):
                return
            self.head.kill()
            self.worker.kill()
        raise AssertionError(f"Ray did not start on both hosts:\n{self._logs()}")

    def _know_each_other(self, started: "Sequence[subprocess.Popen[bytes]]") -> bool:
        """Wait until the two nodes are alive; False once one of them has ended."""
        until = time.monotonic() + 120
        while time.monotonic() < until and all(process.poll() is None for process in started):
            with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
                self.wait_for_nodes(2, 15)
                return True
        return False

    def _logs(self) -> str:
        return "\n".join(path.read_text()[-1500:] for path in sorted(self.disk.glob("*.log")))

    def start_head(
        self, wrap: Sequence[str] = (), dashboard: bool = True, cpus: int = 1, dashboard_host: str | None = None
    ) -> "subprocess.Popen[bytes]":
        shown = str(dashboard).lower()
        options = ["--head", f"--num-cpus={cpus}", f"--port={GCS}", f"--include-dashboard={shown}"]
        options += [f"--dashboard-host={dashboard_host or self.head.address}", f"--dashboard-port={DASHBOARD}"]
        started = self._ray(self.head, wrap, *options)
        wait_until(lambda: answers(self.head, self.head.address, GCS), "the head's GCS", 120)
        if dashboard:
            at = dashboard_host or self.head.address
            wait_until(lambda: answers(self.head, at, DASHBOARD), "the dashboard", 120)
        return started

    def start_worker(self, wrap: Sequence[str] = (), host: Host | None = None) -> "subprocess.Popen[bytes]":
        return self._ray(host or self.worker, wrap, f"--address={self.address}", "--num-cpus=1")

    def _ray(self, host: Host, wrap: Sequence[str], *arguments: str) -> "subprocess.Popen[bytes]":
        folder = self.disk / host.label
        common = [f"--node-ip-address={host.address}", f"--temp-dir={folder}", "--block"]
        common += [f"--object-store-memory={OBJECT_STORE}", "--disable-usage-stats"]
        command = [*wrap, str(BIN / "ray"), "start", *arguments, *common]
        return host.start(command, self.log(host), {**self.environment, "RAY_TMPDIR": str(folder)}, cwd=self.shared)

    def services(self, host: Host, name: str) -> list[int]:
        """Return the processes of Ray's `raylet` or `gcs_server` on a host."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                words = (place / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:  # it has ended
                continue
            if words[0].rpartition("/")[2] == name and any(f"{self.disk / host.label}/" in word for word in words):
                found.append(int(place.name))
        return found

    def log(self, host: Host) -> Path:
        return self.disk / f"{host.label}.log"

    def wait_for_nodes(self, count: int, seconds: float = 90) -> None:
        """Wait until the cluster has so many nodes alive."""
        code = (
            "import sys, time; from ray._raylet import GcsClient\n"
            f"client = GcsClient(address={self.address!r}); until = time.monotonic() + {seconds}\n"
            "while time.monotonic() < until:\n"
            "    alive = sum(node.state == 0 for node in client.get_all_node_info().values())\n"
            f"    if alive == {count}: sys.exit(0)\n"
            "    time.sleep(0.2)\n"
            "sys.exit(f'{alive} nodes are alive')\n"
        )
        done = self.head.run([sys.executable, "-c", code], self.environment, seconds + 60)
        assert done.returncode == 0, f"{done.stderr}\n{self._logs()}"

    def drive(self, arguments: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
        """Start a `raysweep` command on the head that joins this cluster."""
        folder = {"RAY_TMPDIR": str(self.disk / self.head.label), "RAY_ADDRESS": self.address}
        command = [str(BIN / "raysweep"), *arguments]
        return self.head.start(command, log, {**self.environment, **folder}, cwd=self.shared)

    def submit(self, space: Path, *arguments: str, timeout: float = 200) -> "subprocess.CompletedProcess[str]":
        """Submit a search space from the third host, as the documentation says, and follow it to its end."""
        code = f"import os; os.chdir({str(space.parent)!r}); from raysweep.cli.app import main; main()"
        command = [sys.executable, "-c", code, "submit", space.name, "--address", self.dashboard, *arguments]
        return self.outside.run(command, self.environment, timeout)


def answers(host: Host, address: str, port: int) -> bool:
    """Return whether something listens there, asked from a host."""
    code = f"import socket; socket.create_connection(({address!r}, {port}), 2)"
    return host.run([sys.executable, "-c", code]).returncode == 0


def wait_until(reached: Callable[[], object], what: str, seconds: float, still: Callable[[], object] = bool) -> None:
    """Wait until something is so; fails after so many seconds, or once `still` gives a text that says why not."""
    until = time.monotonic() + seconds
    while not reached():
        why = still()
        assert not why, f"{what}: {why}"
        assert time.monotonic() < until, f"{what}: not after {seconds} s"
        time.sleep(0.2)
