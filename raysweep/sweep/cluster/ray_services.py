"""Access to Ray's processes and head that cannot block, unlike Ray's public calls."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

HEAD, RAYLET = "gcs_server", "raylet"
_OTHERS = ("monitor", "dashboard", "log_monitor")
_ALIVE = 0
"""GcsNodeInfo.GcsNodeState.ALIVE of Ray's gcs.proto."""


@dataclass(frozen=True)
class Told:
    """A node of the cluster, as reported by its head."""

    address: str
    port: int
    """Of its raylet."""
    resources: Mapping[str, float]
    alive: bool
    launched: bool
    """Whether an autoscaler gave it its type, or its instance."""


class _Head(Protocol):
    """A client of the head (InnerGcsClient of ray._raylet)."""

    def get_all_node_info(self, timeout: float) -> "Mapping[_Id, _Info]":
        """Return the nodes."""

    def internal_kv_get(self, key: bytes, namespace: bytes | None, timeout: float) -> bytes | None:
        """Return the value of a key."""


class _Id(Protocol):
    def hex(self) -> str: ...


class _Info(Protocol):
    """GcsNodeInfo of Ray's gcs.proto."""

    node_manager_address: str
    node_manager_port: int
    resources_total: Mapping[str, float]
    state: int
    node_type_name: str
    instance_id: str


class HeadSilentError(Exception):
    """The head gives no answer."""


def hosts(seconds: float) -> dict[str, Told] | None:
    """Return the nodes of the cluster by their ids, those that have died too; None where none is joined (yet).

    Raises:
        HeadSilentError: the head gave no answer in this time.
    """
    client = _client()
    if client is None:
        return None
    try:
        told = client.get_all_node_info(timeout=seconds)
    except Exception as error:
        raise HeadSilentError(str(error)) from error
    return {
        node_id.hex(): Told(
            info.node_manager_address, info.node_manager_port, dict(info.resources_total), info.state == _ALIVE,
            bool(info.node_type_name or info.instance_id),
        )
        for node_id, info in told.items()
    }  # fmt: skip


def autoscales(seconds: float) -> bool:
    """Return whether Ray's autoscaler reports nodes of a type; one that only looks on names each by its id."""
    client = _client()
    with contextlib.suppress(Exception):  # no answer, or none that is understood, is no autoscaler
        told = client and client.internal_kv_get(b"__autoscaling_status", None, timeout=seconds)
        kinds = json.loads(told)["autoscaler_report"]["active_nodes"] if told else {}
        return any(not kind.startswith(("node_", "local")) for kind in kinds)
    return False


def dead_service() -> tuple[str, int] | None:
    """Return which service (`HEAD`, `RAYLET`) of a Ray that this process started itself is dead, and its process."""
    for kind in (HEAD, RAYLET):
        for process in _services(kind):
            if process.poll() is not None:
                return kind, process.pid
    return None


def kill_services() -> None:
    """Kill what is left of a Ray that this process started itself."""
    for kind in (RAYLET, HEAD, *_OTHERS):
        for process in _services(kind):
            process.kill()


def log_of(kind: str) -> str | None:
    """Return the log file of a service, where it runs on this host."""
    find = getattr(_node(), "get_logs_dir_path", None)
    return None if find is None else f"{find()}/{kind}.out"


def _worker() -> ModuleType | None:
    return sys.modules.get("ray._private.worker")


def _node() -> object:
    return getattr(_worker(), "_global_node", None)


def _services(kind: str) -> "list[subprocess.Popen[bytes]]":
    processes = getattr(_node(), "all_processes", {})
    return [found.process for found in list(processes.get(kind, []))]


def _client() -> _Head | None:
    return getattr(getattr(_worker(), "global_worker", None), "gcs_client", None)
