"""Functions of single tasks, run on a Ray cluster, their results in the order of the tasks."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import ray

from raysweep.core.errors import RaysweepError
from raysweep.data.workers import AHEAD_PER_WORKER
from raysweep.sweep.cluster.resources import joined

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


@contextmanager
def ray_tasks(address: str) -> Iterator[Callable[[Callable[[_Task], _Result], Iterable[_Task]], Iterator[_Result]]]:
    """Yield what runs `step(task)` of many tasks on a cluster, one on each core, a bounded number of them ahead.

    Args:
        address: of a running cluster, or "local" for one of this machine that ends with the context.

    Raises:
        RaysweepError: there is no cluster at the address.
    """
    with joined(address):
        yield _in_order


def _in_order(step: Callable[[_Task], _Result], tasks: Iterable[_Task]) -> Iterator[_Result]:
    cores = max(int(ray.cluster_resources().get("CPU", 1)), 1)  # type: ignore[no-untyped-call]
    remote = ray.remote(num_cpus=1, max_retries=3)(step)
    stream = iter(tasks)
    running: deque[ray.ObjectRef[_Result]] = deque()
    while True:
        running.extend(remote.remote(task) for task in islice(stream, AHEAD_PER_WORKER * cores - len(running)))
        if not running:
            return
        try:
            yield ray.get(running.popleft())
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, RaysweepError):
                raise cause from None
            raise
