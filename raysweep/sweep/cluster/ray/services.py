"""Queries of Ray's services and its head that, unlike Ray's public calls, do not block if they are dead."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from raysweep.sweep.cluster.ray.internals import ALIVE, AUTOSCALER_STATUS, head_client, logs_folder, service_processes

HEAD, RAYLET = "gcs_server", "raylet"
_OTHERS = ("monitor", "dashboard", "log_monitor")


@dataclass(frozen=True)
class NodeReport:
    """A node of the cluster, as its head reports it."""

    address: str
    port: int
    """Address of its raylet."""
    resources: Mapping[str, float]
    alive: bool
    launched: bool
    """Whether an autoscaler gave it its type, or its instance."""


class HeadSilentError(Exception):
    """The head does not answer."""


def reported_nodes(seconds: float) -> dict[str, NodeReport] | None:
    """Ask the head for the nodes of the cluster, dead ones included.

    Args:
        seconds: the longest wait for the answer.

    Returns:
        The nodes by their ids, or None where no cluster is joined (yet).

    Raises:
        HeadSilentError: there was no answer in this time.
    """
    client = head_client()
    if client is None:
        return None
    try:
        nodes = client.get_all_node_info(timeout=seconds)
    except Exception as error:
        raise HeadSilentError(str(error)) from error
    return {
        node_id.hex(): NodeReport(
            info.node_manager_address, info.node_manager_port, dict(info.resources_total), info.state == ALIVE,
            bool(info.node_type_name or info.instance_id),
        )
        for node_id, info in nodes.items()
    }  # fmt: skip


def autoscales(seconds: float) -> bool:
    """Whether an autoscaler manages the cluster: it reports nodes by type, a mere observer each by its id."""
    client = head_client()
    with contextlib.suppress(Exception):  # no answer, or an unknown one: assume no autoscaler
        report = client and client.internal_kv_get(AUTOSCALER_STATUS, None, timeout=seconds)
        kinds = json.loads(report)["autoscaler_report"]["active_nodes"] if report else {}
        return any(not kind.startswith(("node_", "local")) for kind in kinds)
    return False


def dead_service() -> tuple[str, int] | None:
    """Return the kind (`HEAD`, `RAYLET`) and process id of a dead service of a Ray that this process has started."""
    for kind in (HEAD, RAYLET):
        for process in service_processes(kind):
            if process.poll() is not None:
                return kind, process.pid
    return None


def kill_services() -> None:
    """Kill the remaining services of a Ray that this process has started."""
    for kind in (RAYLET, HEAD, *_OTHERS):
        for process in service_processes(kind):
            process.kill()


def log_of(kind: str) -> str | None:
    """Return the log file of a service, where it runs on this host."""
    folder = logs_folder()
    return None if folder is None else f"{folder}/{kind}.out"
