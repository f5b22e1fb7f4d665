"""Network namespaces of our own, joined by a switch in one more: nothing here touches the machine's own network."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

SUBNET = "10.203.0"
_CLONE_NEWNET = 0x40000000


def why_not() -> str | None:
    """Return why namespaces cannot be made here, None where they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need `ip` (apt-get install iproute2)"
    probe = f"rs{os.getpid()}probe"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True)
    if made.returncode != 0:
        return f"network namespaces cannot be made here: {made.stderr.strip()}"
    _ip("netns", "delete", probe)
    return None


class Host:
    """A namespace with an address of its own, and the processes that were started in it."""

    def __init__(self, name: str, number: int, switch: str) -> None:
        self.label, self.name = name, f"{switch}{name}"
        self.address, self._switch = f"{SUBNET}.{number}", switch
        self._port = f"p{number}"
        self._started: list[subprocess.Popen[bytes]] = []
        _ip("netns", "add", self.name)
        _ip("link", "add", "eth0", "netns", self.name, "type", "veth", "peer", "name", self._port, "netns", switch)
        _ip("-n", switch, "link", "set", self._port, "master", "br0", "up")
        _ip("-n", self.name, "address", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", self.name, "link", "set", device, "up")

    def start(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> "subprocess.Popen[bytes]":
        """Start a process here; its output goes to the end of the log."""
        with log.open("ab") as stream:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.name, *command],
                env={**os.environ, **(environment or {})},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def run(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None, timeout: float = 120
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command here to its end; its output is text."""
        return subprocess.run(
            ["ip", "netns", "exec", self.name, *command],
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def cut(self) -> None:
        """Pull the cable out: whatever is sent to or from this host is lost, and nobody is told."""
        _ip("-n", self._switch, "link", "set", self._port, "down")

    def join(self) -> None:
        """Put the cable back."""
        _ip("-n", self._switch, "link", "set", self._port, "up")

    def part_from(self, other: "Host") -> None:
        """Lose whatever these two send to each other, and nothing that they send to others."""
        for here, there in ((self, other), (other, self)):
            _ip("-n", here.name, "neigh", "replace", there.address, "lladdr", "02:00:00:00:00:01", "dev", "eth0",
                "nud", "permanent")  # fmt: skip

    def processes(self) -> list[int]:
        """Return the processes that live in this namespace, however they were started."""
        return [int(pid) for pid in _ip("netns", "pids", self.name).split()]

    def kill(self) -> None:
        """Kill all processes here at once, as a power cut does."""
        until = time.monotonic() + 20
        while (left := self.processes()) and time.monotonic() < until:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):  # it has ended since
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        assert not left, f"processes {left} outlive SIGKILL"
        for process in self._started:
            process.wait()
        self._started.clear()

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Make this thread's new sockets stand in the namespace while the block runs."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net") as own, open(f"/run/netns/{self.name}") as here:
            _enter(libc, here.fileno())
            try:
                yield
            finally:
                _enter(libc, own.fileno())

    def remove(self) -> None:
        self.kill()
        _ip("netns", "delete", self.name)


class Network:
    """A switch and the hosts on it; all of it is gone after the block, also when a test fails."""

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}
        self._switch = f"rs{os.getpid()}x{time.monotonic_ns() % 10**6}"

    def __enter__(self) -> "Network":
        _ip("netns", "add", self._switch)
        _ip("-n", self._switch, "link", "add", "br0", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "br0", "up")
        return self

    def host(self, name: str) -> Host:
        """Add a host with the next free address."""
        self.hosts[name] = Host(name, 1 + len(self.hosts), self._switch)
        return self.hosts[name]

    def __exit__(self, *error: object) -> None:
        for host in self.hosts.values():
            host.remove()
        _ip("netns", "delete", self._switch)


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def _enter(libc: ctypes.CDLL, namespace: int) -> None:
    if libc.setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
