"""What a cluster's nodes can hold: whether a trial fits a node, how many fit, and the largest node for one alone."""

from collections.abc import Mapping, Sequence

from raysweep.sweep.cluster.ray.internals import free_resources
from raysweep.sweep.space.space import Space


def check_fits(space: Space, nodes: Sequence[Mapping[str, float]]) -> None:
    """Check that some node can hold a trial.

    Raises:
        SpaceError: none can; names the missing resource.
    """
    for key, name in (("cpu", "CPU"), ("gpu", "GPU")):
        wanted = space.resources.most[name]
        most = max((node.get(name, 0.0) for node in nodes), default=0.0)
        if wanted > most:
            raise space.error(
                ("resources", key),
                f"a trial asks for {wanted:g} {name} and no node has more than {most:g}; ask for less, or add a node "
                "that has it",
            )
    if not fits(space, nodes):
        raise space.error(
            ("resources",),
            f"no node has {space.resources.cpu:g} CPU and {space.resources.most['GPU']:g} GPU at once; ask for less",
        )


def fits(space: Space, nodes: Sequence[Mapping[str, float]]) -> bool:
    """Return whether some node can hold a trial."""
    wanted = space.resources.most
    return any(all(node.get(name, 0.0) >= count for name, count in wanted.items()) for node in nodes)


def slots(space: Space, nodes: Sequence[Mapping[str, float]]) -> int:
    """Count the trials that run at once, as many on each node as it can hold."""
    wanted = {name: count for name, count in space.resources.most.items() if count}
    fit = sum(min(int(node.get(name, 0.0) / count) for name, count in wanted.items()) for node in nodes)
    return min(fit, space.resources.parallel or fit)


def whole_node(space: Space) -> dict[str, float]:
    """Return the resources of a trial alone on its node: all that are free on the node with the most memory.

    Resources that others held before the sweep began are not waited for.
    """
    wanted = space.resources.most
    nodes = [node for node in free_resources() if all(node.get(name, 0.0) >= count for name, count in wanted.items())]
    largest = max(nodes, key=lambda node: node.get("memory", 0.0), default=wanted)
    return {name: largest.get(name, 0.0) for name in wanted}
