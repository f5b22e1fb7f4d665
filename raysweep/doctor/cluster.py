"""Examine each node of a Ray cluster: its machine, its versions, its access to storage and data."""

import time
from collections.abc import Callable, Iterator, Mapping

from raysweep.core.errors import RaysweepError
from raysweep.core.io.files import absolute
from raysweep.core.io.proxies import is_loopback
from raysweep.doctor import judge
from raysweep.doctor.facts import Facts, gather
from raysweep.doctor.findings import HealthFinding
from raysweep.sweep.cluster.capacity import check_fits
from raysweep.sweep.cluster.environment import differences, wanted_of_nodes
from raysweep.sweep.cluster.join import joined
from raysweep.sweep.cluster.node_checks import check_nodes
from raysweep.sweep.cluster.nodes import NodeAnswer, alive_nodes, ask_nodes
from raysweep.sweep.cluster.ray.internals import requires_token
from raysweep.sweep.space.space import Space


def of_cluster(address: str, space: Space | None, look: Callable[[str], object]) -> Iterator[HealthFinding]:
    """Yield the findings about a cluster.

    Args:
        address: of its head, as RAY_ADDRESS has it.
        space: the sweep that is to run on it, if any.
        look: receives a line for each machine that is examined.
    """
    try:
        with joined(address):
            yield from _of_nodes(space, look)
    except RaysweepError as error:
        yield HealthFinding(check="cluster", where=address, text=str(error), remedy="start Ray, or name its address")


def _of_nodes(space: Space | None, look: Callable[[str], object]) -> Iterator[HealthFinding]:
    nodes = alive_nodes()
    for node in nodes:
        look(f"{node}: {_resources(node.resources)}")
    began = time.time()
    answers = ask_nodes(nodes, gather)
    yield from _of_answers(answers, (began, time.time()))
    yield from _of_access([node.address for node in nodes])
    if space is None:
        return
    try:
        check_fits(space.resources, [node.resources for node in nodes], space.error)
    except RaysweepError as error:
        remedy = "request less, or add a node that has it"
        yield HealthFinding(check="resources", where="cluster", text=str(error), remedy=remedy)
    answering = [answer.node for answer in answers if answer.failure is None]
    manifest = [f"{absolute(space.data.store)}/manifest.json"] if space.data else []
    try:
        wrong = check_nodes(answering, absolute(space.storage), manifest, None)
    except RaysweepError as error:
        yield HealthFinding(check="storage", where="driver", text=str(error), remedy="choose another `storage`")
        return
    for found in wrong:
        yield HealthFinding(check=found.check, where=str(found.node), text=found.text, remedy=found.remedy)


def _of_answers(answers: list[NodeAnswer[Facts]], asked: tuple[float, float]) -> Iterator[HealthFinding]:
    wanted = wanted_of_nodes()
    gpus = {}
    for answer in answers:
        where, facts = str(answer.node), answer.value
        if facts is None:
            remedy = "see the Ray session's logs/ there; install the same raysweep on every node"
            yield HealthFinding(check="cluster", where=where, text=str(answer.failure), remedy=remedy)
            continue
        gpus[where] = facts.gpus
        yield from judge.of_machine(facts, where)
        yield from judge.of_clock(facts, where, asked)
        if wanted is not None:
            yield from judge.other_versions(where, differences(wanted, facts.environment))
    yield from judge.of_drivers(gpus)


def _of_access(addresses: list[str]) -> Iterator[HealthFinding]:
    """Yield a finding if anyone who can reach the cluster can run programs on it."""
    open_to = [address for address in addresses if not is_loopback(address)]
    if not requires_token() and open_to:
        text = f"Ray requires no token: anyone who can reach {', '.join(open_to)} can run programs there"
        remedy = "start Ray on every node with RAY_AUTH_MODE=token and one token (ray get-auth-token --generate)"
        yield HealthFinding(check="ports", where="cluster", text=text, remedy=remedy)


def _resources(resources: Mapping[str, float]) -> str:
    kept = {name: count for name, count in resources.items() if name in ("CPU", "GPU")}
    return ", ".join(f"{count:g} {name}" for name, count in kept.items()) or "no cores"
