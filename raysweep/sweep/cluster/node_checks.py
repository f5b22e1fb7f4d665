"""Check every node of a cluster before a sweep begins: its environment, its access to the storage and to the data."""

import os
import platform
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyarrow import fs

from raysweep.core.errors import ClusterError
from raysweep.core.hashing import digest
from raysweep.core.io.files import open_location, read_whole, write_whole
from raysweep.core.io.retries import wait_until
from raysweep.sweep.cluster.environment import SAME_VERSIONS, differences, environment
from raysweep.sweep.cluster.nodes import Node, NodeAnswer, alive_nodes, ask_nodes, own_node_id

SHARED = (
    "give a path that all nodes share (NFS, Lustre, EFS, Filestore), mounted at the same place on each, or a URI "
    "(s3://, gs://)"
)


@dataclass(frozen=True)
class NodeFault:
    """Why a node cannot take part, and the remedy."""

    node: Node
    check: str
    """answer, storage, data or environment."""
    text: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.node} {self.text}; {self.remedy}"


def check_nodes(
    nodes: Sequence[Node], storage: str, readable: Sequence[str], wanted: Mapping[str, str] | None
) -> list[NodeFault]:
    """List the faults of nodes; a sweep may begin where there is none.

    Args:
        nodes: the nodes to check.
        storage: location that every node has to read and write, the same for all.
        readable: files that every node has to read as this process reads them.
        wanted: environment that every node has to have; None: any.
    """
    expected = {place: _digest_at(place) for place in readable}
    with _Probe(storage) as probe:
        asked = [{"storage": storage, "name": probe.name, "token": probe.token}, expected]
        return [fault for answer in ask_nodes(nodes, _inspect, *asked) for fault in probe.faults(answer, wanted)]


def require_nodes(storage: str, readable: Sequence[str], wanted: Mapping[str, str] | None) -> None:
    """Check every node of the cluster that is joined.

    Raises:
        ClusterError: names each node that cannot take part, its fault and the remedy.
    """
    nodes = alive_nodes()
    faults = check_nodes(nodes, storage, readable, wanted)
    if faults:
        raise ClusterError(f"not every node can take part, so no trial was started: {'; '.join(map(str, faults))}")


@dataclass(frozen=True)
class Inspection:
    """The findings of one node about itself."""

    environment: Mapping[str, str]
    seen: str | None
    """Content of the driver's file in the storage; None: there was no such file."""
    trouble: str | None
    """Why it could not read or write in the storage."""
    unread: tuple[str, ...]
    """Files that it did not read as the driver did, each with the reason."""


def _inspect(asked: Mapping[str, str], expected: Mapping[str, str | None]) -> Inspection:
    """On a node: read the driver's file in the storage, and write another one next to it."""
    seen, trouble = None, None
    try:
        filesystem, root = open_location(asked["storage"])
        data = read_whole(filesystem, f"{root}/{asked['name']}/driver")
        seen = None if data is None else data.decode(errors="replace")
        if seen is not None:
            name = own_node_id()
            write_whole(filesystem, f"{root}/{asked['name']}/{name}", f"{asked['token']} {name}".encode())
    except Exception as error:  # noqa: BLE001 - the user must see whatever a file system raises
        trouble = _of_file_system(error)
    unread = []
    for place, content in expected.items():
        try:
            if _digest_at(place) != content:
                unread.append(f"{place}: not what the driver reads there")
        except Exception as error:  # noqa: BLE001 - as above
            unread.append(f"{place}: {_of_file_system(error)}")
    return Inspection(environment(), seen, trouble, tuple(unread))


class _Probe:
    """A folder in the storage while nodes are checked: a file of the driver's, and one of each node."""

    def __init__(self, storage: str) -> None:
        self.storage, self.token, self.name = storage, uuid.uuid4().hex, f".check-{uuid.uuid4().hex[:12]}"
        self._filesystem, root = open_location(storage)
        self._folder = f"{root}/{self.name}"

    def __enter__(self) -> "_Probe":
        try:
            write_whole(self._filesystem, f"{self._folder}/driver", self.token.encode())
            if read_whole(self._filesystem, f"{self._folder}/driver") != self.token.encode():
                raise ClusterError(f"storage {self.storage}: data read back differs from what was written; {SHARED}")
        except OSError as error:
            raise ClusterError(
                f"storage {self.storage}: the driver on {platform.node()} {_of_file_system(error)}; {SHARED}"
            ) from error
        return self

    def __exit__(self, *error: object) -> None:
        self._filesystem.delete_dir(self._folder)

    def faults(self, answer: "NodeAnswer[Inspection]", wanted: Mapping[str, str] | None) -> list[NodeFault]:
        """List the faults of a node by its answer."""
        node, found = answer.node, answer.value
        if found is None:
            return [NodeFault(node, "answer", str(answer.failure), "see its log under the Ray session's logs/")]
        faults = []
        if found.trouble is not None:
            text = f"{found.trouble} in storage {self.storage}"
            faults.append(NodeFault(node, "storage", text, _remedy(found.trouble)))
        elif found.seen is None:
            text = f"does not see what the driver wrote to storage {self.storage}: it is not shared"
            faults.append(NodeFault(node, "storage", text, SHARED))
        elif found.seen != self.token or not self._has_written(node):
            text = f"does not read what the driver reads in {self.storage}"
            faults.append(NodeFault(node, "storage", text, SHARED))
        faults += [NodeFault(node, "data", f"cannot read the data, {what}", SHARED) for what in found.unread]
        others = differences(wanted, found.environment) if wanted is not None else []
        if others:
            text = f"has a different environment: {', '.join(others)}"
            faults.append(NodeFault(node, "environment", text, SAME_VERSIONS))
        return faults

    def _has_written(self, node: Node) -> bool:
        """Whether this process reads what a node wrote; NFS may cache for a moment that a file is absent."""
        path, expected = f"{self._folder}/{node.node_id}", f"{self.token} {node.node_id}".encode()
        return wait_until(lambda: read_whole(self._filesystem, path) == expected, seconds=5.0, pause=0.2)


def _digest_at(place: str) -> str | None:
    filesystem, path = open_location(place)
    if filesystem.get_file_info(path).type != fs.FileType.File:
        return None
    data = read_whole(filesystem, path)
    return None if data is None else digest(data)


def _of_file_system(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    text = os.strerror(cause.errno).lower() if isinstance(cause, OSError) and cause.errno else ""
    return f"cannot read or write: {text or ' '.join(str(error).split())[:200]}"


def _remedy(trouble: str) -> str:
    if "permission denied" in trouble or "ACCESS_DENIED" in trouble.upper():
        return "let the user that Ray runs as write there, or give its nodes the credentials (role, service account)"
    if "no space" in trouble or "read-only" in trouble:
        return "free some space there, or choose another `storage`"
    return SHARED
