"""The nodes of a cluster, and calling a function on each of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
ANSWER_SECONDS = 60.0
"""Time limit for a node to start a worker and answer."""


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
class NodeAnswer(Generic[T]):
    """A node's answer, or the reason why there is none."""

    node: Node
    value: T | None
    failure: str | None


def alive_nodes() -> list[Node]:
    """Return the nodes of the cluster that is joined, by address."""
    import ray  # a finished sweep needs no Ray

    rows = [row for row in ray.nodes() if row["Alive"]]  # type: ignore[no-untyped-call]
    nodes = [Node(r["NodeID"], r["NodeManagerAddress"], r["NodeManagerHostname"], r["Resources"]) for r in rows]
    return sorted(nodes, key=lambda node: node.address)


def own_node_id() -> str:
    """Return the id of the node that this process runs on."""
    import ray

    return str(ray.get_runtime_context().get_node_id())


def all_here(nodes: Sequence[Node]) -> bool:
    """Whether this process's own node is the only one, so that workers reach whatever this process reaches."""
    return [node.node_id for node in nodes] == [own_node_id()]


def ask_nodes(
    nodes: Sequence[Node], function: Callable[..., T], *arguments: object, seconds: float = ANSWER_SECONDS
) -> list[NodeAnswer[T]]:
    """Call a function on every node concurrently, whatever else runs there.

    Args:
        nodes: the nodes.
        function: called in a worker of each node.
        arguments: of the function.
        seconds: the longest wait for the answers.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_retries=0)(function)

    def pinned(node: Node) -> NodeAffinitySchedulingStrategy:
        return NodeAffinitySchedulingStrategy(node.node_id, soft=False)

    pending = {task.options(scheduling_strategy=pinned(node)).remote(*arguments): node for node in nodes}
    ready, _ = ray.wait(list(pending), num_returns=len(pending), timeout=seconds)
    answers: list[NodeAnswer[T]] = []
    for reference, node in pending.items():
        if reference not in ready:
            answers.append(NodeAnswer(node, None, f"did not answer within {seconds:.0f} s"))
            ray.cancel(reference, force=True)
            continue
        try:
            answers.append(NodeAnswer(node, ray.get(reference), None))
        except ray.exceptions.RayError as error:
            answers.append(NodeAnswer(node, None, _reason(str(error))))
    return answers


def _reason(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else "no reason given"
    if "ModuleNotFoundError" in text or "No module named" in text:
        found = next((line for line in reversed(lines) if "No module named" in line), last)
        return f"cannot run raysweep ({found[-200:]}): install raysweep and its packages there"
    return f"cannot run a task: {last[-300:]}"
