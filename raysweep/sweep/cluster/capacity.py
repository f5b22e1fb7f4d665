"""What a cluster's nodes can hold: whether a trial fits a node, how many fit, and the largest node for one alone."""

from collections.abc import Callable, Mapping, Sequence

from raysweep.core.errors import SpaceError
from raysweep.sweep.cluster.ray.internals import free_resources
from raysweep.sweep.space.running import Resources

ErrorMaker = Callable[[Sequence[str | int], str], SpaceError]
"""Makes the error about a key of a search space (`Space.error`)."""


def check_fits(resources: Resources, nodes: Sequence[Mapping[str, float]], error: ErrorMaker) -> None:
    """Check that some node can hold a trial.

    Raises:
        SpaceError: none can; names the missing resource.
    """
    for key, name in (("cpu", "CPU"), ("gpu", "GPU")):
        wanted = resources.most[name]
        most = max((node.get(name, 0.0) for node in nodes), default=0.0)
        if wanted > most:
            raise error(
                ("resources", key),
                f"a trial requests {wanted:g} {name} and no node has more than {most:g}; request less, or add a node "
                "that has it",
            )
    if not fits(resources, nodes):
        raise error(
            ("resources",),
            f"no node has both {resources.cpu:g} CPU and {resources.most['GPU']:g} GPU; request less",
        )


def fits(resources: Resources, nodes: Sequence[Mapping[str, float]]) -> bool:
    """Whether some node can hold a trial."""
    wanted = resources.most
    return any(all(node.get(name, 0.0) >= count for name, count in wanted.items()) for node in nodes)


def slots(resources: Resources, nodes: Sequence[Mapping[str, float]]) -> int:
    """Count the trials that can run at once, as many on each node as it can hold."""
    wanted = {name: count for name, count in resources.most.items() if count}
    fit = sum(min(int(node.get(name, 0.0) / count) for name, count in wanted.items()) for node in nodes)
    return min(fit, resources.parallel or fit)


def whole_node(resources: Resources) -> dict[str, float]:
    """Return the resources of a trial alone on its node: all that are free on the node with the most memory.

    It does not wait for resources that others held before the sweep began.
    """
    wanted = resources.most
    nodes = [node for node in free_resources() if all(node.get(name, 0.0) >= count for name, count in wanted.items())]
    largest = max(nodes, key=lambda node: node.get("memory", 0.0), default=wanted)
    return {name: largest.get(name, 0.0) for name in wanted}
