"""What is asked of every node of a cluster before a sweep begins: its environment, and that it reaches the storage."""

import os
import platform
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pyarrow import fs

from raysweep.core.errors import ClusterError
from raysweep.core.hashing import digest
from raysweep.core.io.files import open_location, read_whole, write_whole
from raysweep.core.io.retries import wait_until
from raysweep.sweep.cluster.environment import differences, environment

SAME_VERSIONS = "install the same versions on every node (pip install -c constraints.txt)"
T = TypeVar("T")
ANSWER_SECONDS = 60.0
"""For a node to start a worker and answer."""
SHARED = (
    "give a path that all nodes share (NFS, Lustre, EFS, Filestore), mounted at the same place on each, or a URI "
    "(s3://, gs://)"
)


@dataclass(frozen=True)
class Node:
    """A machine, or a container, that runs Ray."""

    node_id: str
    address: str
    host: str
    resources: Mapping[str, float]

    def __str__(self) -> str:
        return f"node {self.address} ({self.host})"


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What a node said, or why it said nothing."""

    node: Node
    value: T | None
    failure: str | None


def alive_nodes() -> list[Node]:
    """Return the nodes of the cluster that is joined, by address."""
    import ray  # a finished sweep needs no Ray

    rows = [row for row in ray.nodes() if row["Alive"]]  # type: ignore[no-untyped-call]
    nodes = [Node(r["NodeID"], r["NodeManagerAddress"], r["NodeManagerHostname"], r["Resources"]) for r in rows]
    return sorted(nodes, key=lambda node: node.address)


def all_here(nodes: Sequence[Node]) -> bool:
    """Return whether this process's own node is the only one, so that whatever it reaches every worker reaches."""
    import ray

    return [node.node_id for node in nodes] == [ray.get_runtime_context().get_node_id()]


def ask_nodes(
    nodes: Sequence[Node], function: Callable[..., T], *arguments: object, seconds: float = ANSWER_SECONDS
) -> list[Answer[T]]:
    """Call a function on every node at once, beside whatever runs there, and return what each of them answered."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_retries=0)(function)
    pending = {
        task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.node_id, soft=False)).remote(
            *arguments
        ): node
        for node in nodes
    }
    ready, _ = ray.wait(list(pending), num_returns=len(pending), timeout=seconds)
    answers = []
    for reference, node in pending.items():
        value, failure = None, None
        if reference not in ready:
            failure = f"gave no answer within {seconds:.0f} s"
            ray.cancel(reference, force=True)
        else:
            try:
                value = ray.get(reference)
            except ray.exceptions.RayError as error:
                failure = _reason(str(error))
        answers.append(Answer(node, value, failure))
    return answers


@dataclass(frozen=True)
class Wrong:
    """Why a node cannot take part, and what to do."""

    node: Node
    check: str
    """answer, storage, data or environment."""
    text: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.node} {self.text}; {self.remedy}"


def check_nodes(
    nodes: Sequence[Node], storage: str, readable: Sequence[str], wanted: Mapping[str, str] | None
) -> list[Wrong]:
    """Return what is wrong with which node; an empty list where a sweep may begin.

    Args:
        nodes: who is asked.
        storage: location that every node has to read and write, the same for all.
        readable: files that every node has to read as this process reads them.
        wanted: environment that every node has to have; None: any.
    """
    expected = {place: _digest_at(place) for place in readable}
    with _Probe(storage) as probe:
        asked = [{"storage": storage, "name": probe.name, "token": probe.token}, expected]
        return [wrong for answer in ask_nodes(nodes, _look, *asked) for wrong in probe.judge(answer, wanted)]


def require_nodes(storage: str, readable: Sequence[str], wanted: Mapping[str, str] | None) -> None:
    """Check every node of the cluster that is joined.

    Raises:
        ClusterError: names each node that cannot take part, what is wrong with it, and the remedy.
    """
    nodes = alive_nodes()
    wrong = check_nodes(nodes, storage, readable, wanted)
    if wrong:
        raise ClusterError(f"not every node can take part, so no trial was begun: {'; '.join(map(str, wrong))}")


@dataclass(frozen=True)
class Look:
    """What a node found."""

    environment: Mapping[str, str]
    seen: str | None
    """What it read of the driver's file in the storage; None: there was none."""
    trouble: str | None
    """Why it could not read or write in the storage."""
    unread: tuple[str, ...]
    """Files that it did not read as the driver did, each with the reason."""


def _look(asked: Mapping[str, str], expected: Mapping[str, str | None]) -> Look:
    """Look, on a node: read what the driver wrote, write something of its own beside it."""
    seen, trouble = None, None
    try:
        filesystem, root = open_location(asked["storage"])
        data = read_whole(filesystem, f"{root}/{asked['name']}/driver")
        seen = None if data is None else data.decode(errors="replace")
        if seen is not None:
            write_whole(filesystem, f"{root}/{asked['name']}/{_node_id()}", f"{asked['token']} {_node_id()}".encode())
    except Exception as error:  # noqa: BLE001 - whatever a file system raises is what the user has to hear
        trouble = _of_file_system(error)
    unread = []
    for place, content in expected.items():
        try:
            if _digest_at(place) != content:
                unread.append(f"{place}: not what the driver reads there")
        except Exception as error:  # noqa: BLE001 - as above
            unread.append(f"{place}: {_of_file_system(error)}")
    return Look(environment(), seen, trouble, tuple(unread))


class _Probe:
    """A folder in the storage for as long as nodes are asked."""

    def __init__(self, storage: str) -> None:
        self.storage, self.token, self.name = storage, uuid.uuid4().hex, f".check-{uuid.uuid4().hex[:12]}"
        self._filesystem, root = open_location(storage)
        self._folder = f"{root}/{self.name}"

    def __enter__(self) -> "_Probe":
        try:
            write_whole(self._filesystem, f"{self._folder}/driver", self.token.encode())
            if read_whole(self._filesystem, f"{self._folder}/driver") != self.token.encode():
                raise ClusterError(f"storage {self.storage}: what was written is not what is read back; {SHARED}")
        except OSError as error:
            raise ClusterError(
                f"storage {self.storage}: the driver on {platform.node()} {_of_file_system(error)}; {SHARED}"
            ) from error
        return self

    def __exit__(self, *error: object) -> None:
        self._filesystem.delete_dir(self._folder)

    def judge(self, answer: "Answer[Look]", wanted: Mapping[str, str] | None) -> list[Wrong]:
        """Return what is wrong with a node."""
        node, look = answer.node, answer.value
        if look is None:
            return [Wrong(node, "answer", str(answer.failure), "see its log under the Ray session's logs/")]
        wrong = []
        if look.trouble is not None:
            wrong.append(Wrong(node, "storage", f"{look.trouble} in storage {self.storage}", _remedy(look.trouble)))
        elif look.seen is None:
            text = f"does not see what the driver wrote to storage {self.storage}: it is not shared"
            wrong.append(Wrong(node, "storage", text, SHARED))
        elif look.seen != self.token or not self._has_written(node):
            wrong.append(Wrong(node, "storage", f"does not read what the driver reads in {self.storage}", SHARED))
        wrong += [Wrong(node, "data", f"cannot read the data, {what}", SHARED) for what in look.unread]
        found = differences(wanted, look.environment) if wanted is not None else []
        if found:
            wrong.append(Wrong(node, "environment", f"has another environment: {', '.join(found)}", SAME_VERSIONS))
        return wrong

    def _has_written(self, node: Node) -> bool:
        """Return whether this process reads what a node wrote; NFS may cache for a moment that a file is absent."""
        path, expected = f"{self._folder}/{node.node_id}", f"{self.token} {node.node_id}".encode()
        return wait_until(lambda: read_whole(self._filesystem, path) == expected, seconds=5.0, pause=0.2)


def _node_id() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


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
        return "make room there, or choose another `storage`"
    return SHARED


def _reason(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else "no reason given"
    if "ModuleNotFoundError" in text or "No module named" in text:
        found = next((line for line in reversed(lines) if "No module named" in line), last)
        return f"cannot run raysweep ({found[-200:]}): install raysweep and its packages there"
    return f"cannot run a task: {last[-300:]}"
