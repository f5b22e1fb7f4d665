"""Examine this machine, the cluster that it joins, and the locations that a sweep needs."""

import os
from collections.abc import Iterator

from raysweep.doctor import judge, places
from raysweep.doctor.cluster import of_cluster
from raysweep.doctor.facts import gather
from raysweep.doctor.findings import Diagnosis, HealthFinding
from raysweep.sweep.cluster.ray.home import can_keep_token, has_token, token_file, troubles
from raysweep.sweep.plan.totals import missing
from raysweep.sweep.space.space import Space


def examine(space: Space | None = None, address: str | None = None) -> Diagnosis:
    """Find faults that would break a sweep that is driven from this machine.

    Args:
        space: the sweep; without one, storage, data, MLflow and resources are not examined.
        address: of the head of a Ray cluster; default: RAY_ADDRESS. None: only this machine.
    """
    address = address or os.environ.get("RAY_ADDRESS") or None
    looked: list[str] = []
    found = list(_of_this_machine(space, address, looked))
    if address is not None:
        found += of_cluster(address, space, looked.append)
    return Diagnosis(findings=tuple(dict.fromkeys(found)), looked_at=tuple(looked))


def _of_this_machine(space: Space | None, address: str | None, looked: list[str]) -> Iterator[HealthFinding]:
    facts = gather()
    looked.append(f"here, {facts.host}: raysweep {facts.environment['raysweep']}, Python {facts.environment['python']}")
    yield from judge.of_token(token_file(), named="RAY_AUTH_TOKEN_PATH" in os.environ)
    if address is None:  # on a cluster every node is examined, this machine too if it is one of them
        yield from judge.of_start(troubles(), "here", keeps_token=has_token() or can_keep_token())
        yield from judge.of_machine(facts, "here")
    if space is None:
        return
    looked.append(f"{space.name}: storage {space.storage}" + (f", data {space.data.store}" if space.data else ""))
    yield from places.of_storage(space.storage, "here")
    yield from places.of_data(space.data, "here")
    yield from places.of_mlflow(space.tracking, space.storage, "here")
    lacking = missing(space.resources) if address is None else None
    if lacking is not None:
        yield HealthFinding(check="resources", where="here", text=lacking, remedy="request less, or join a cluster")
