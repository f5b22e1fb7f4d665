"""All private parts of Ray that a sweep uses; any release of Ray may change them.

Ray's public calls block while its head or its raylet is dead, which is when these are needed. The purpose of each
part is documented at it; a test names each that no longer exists.
"""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Protocol

ALIVE = 0
"""GcsNodeInfo.GcsNodeState.ALIVE of Ray's gcs.proto."""
AUTOSCALER_STATUS = b"__autoscaling_status"
"""Key under which Ray's autoscaler keeps its report, JSON."""


class NodeId(Protocol):
    """`ray.NodeID`."""

    def hex(self) -> str:
        """Return the id as hexadecimal digits."""


class NodeInfo(Protocol):
    """`GcsNodeInfo` of Ray's gcs.proto."""

    node_manager_address: str
    node_manager_port: int
    resources_total: Mapping[str, float]
    state: int
    node_type_name: str
    instance_id: str


class HeadClient(Protocol):
    """`InnerGcsClient` of ray._raylet: a client of the head whose calls take a time limit."""

    def get_all_node_info(self, timeout: float) -> Mapping[NodeId, NodeInfo]:
        """Return the nodes."""

    def internal_kv_get(self, key: bytes, namespace: bytes | None, timeout: float) -> bytes | None:
        """Return the value of a key."""


def head_client() -> HeadClient | None:
    """Return this process's client of the head, or None before it has joined a cluster."""
    return getattr(getattr(_worker(), "global_worker", None), "gcs_client", None)


def service_processes(kind: str) -> "list[subprocess.Popen[bytes]]":
    """Return the processes of a kind (`gcs_server`, `raylet`, ...) of a Ray that this process has started."""
    processes = getattr(_node(), "all_processes", {})
    return [found.process for found in list(processes.get(kind, []))]


def session_folder() -> Path | None:
    """Return the folder of the session that this process has joined, or None where it has joined none."""
    find = getattr(_node(), "get_session_dir_path", None)
    return None if find is None else Path(find())


def logs_folder() -> Path | None:
    """Return the folder of that session's logs on this host."""
    find = getattr(_node(), "get_logs_dir_path", None)
    return None if find is None else Path(find())


def free_resources() -> list[dict[str, float]]:
    """Return each node's free resources; Ray's public call sums them over the nodes."""
    import ray._private.state

    free: Mapping[str, dict[str, float]] = ray._private.state.available_resources_per_node()  # type: ignore[no-untyped-call]
    return list(free.values())


def count_no_callbacks() -> None:
    """Keep Tune from recording callbacks for Ray's usage statistics, which imports MLflow and others for seconds."""
    from ray.air._internal import usage

    usage.tag_callbacks = lambda callbacks: False


def requires_token() -> bool:
    """Whether Ray, in this process's environment, admits only clients with the token."""
    from ray._private.authentication.authentication_utils import is_token_auth_enabled

    return bool(is_token_auth_enabled())


def _worker() -> ModuleType | None:
    return sys.modules.get("ray._private.worker")  # imported by Ray itself; a finished sweep needs no Ray


def _node() -> object:
    return getattr(_worker(), "_global_node", None)
