"""Tasks of making and importing data on all nodes of a Ray cluster, with the results and order of local processes."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from types import TracebackType
from typing import Any, TypeVar

from raysweep.core.errors import DataError, RaysweepError
from raysweep.data.workers import ONE_THREAD, PREFETCH_PER_WORKER, Pool, Workers, usable_cores
from raysweep.sweep.cluster.join import joined

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")
RETRIES = 5
"""How often a task is repeated after its worker or node died; results do not change, since tasks are pure."""
LOOK_SECONDS = 10.0
"""Time between two queries of the number of cores of the cluster: nodes come and go."""


def data_workers(address: str | None, workers: int | None) -> Pool:
    """Return the workers that make data: those of a Ray cluster at `address` or RAY_ADDRESS, else local processes.

    Args:
        address: of a Ray cluster; `auto` for the one of this machine, `local` for one that ends with the work.
        workers: local processes; by default one for each core. A cluster's cores are all used.

    Raises:
        DataError: `workers` is below 1, or given for a cluster.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    if workers is not None and (address or workers < 1):
        at = f"the Ray cluster at {address} is used with all its cores" if address else "must be at least 1"
        raise DataError(f"workers is {workers}, a number of local processes: {at}. Leave it out")
    return RayWorkers(address) if address else Workers(workers or usable_cores())


class RayWorkers:
    """A pool that spreads tasks of one core and one thread each over a cluster; a context manager."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._stack = ExitStack()
        self._cores, self._looked = 1, -LOOK_SECONDS

    def __enter__(self) -> "RayWorkers":
        """Join the cluster.

        Raises:
            RaysweepError: there is none at the address.
        """
        self._stack.enter_context(joined(self._address))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Leave the cluster; tasks that still run there are cancelled."""
        self._stack.close()

    def in_order(self, function: Callable[[_Task], _Result], tasks: Iterable[_Task]) -> Iterator[_Result]:
        """Yield `function(task)` for each task, in order; tasks are drawn as needed, and may be endless.

        Raises:
            DataError: a node lacks a package, or a task's worker died repeatedly.
        """
        import ray
        from ray.exceptions import RayError, RayTaskError

        remote: Any = ray.remote(num_cpus=1, max_retries=RETRIES, scheduling_strategy="SPREAD")(_single_threaded)
        stream = iter(tasks)
        running: deque[ray.ObjectRef[_Result]] = deque()
        try:
            while True:
                for task in islice(stream, max(0, PREFETCH_PER_WORKER * self._count() - len(running))):
                    running.append(remote.remote(function, task))
                if not running:
                    return
                yield ray.get(running.popleft())
        except RayTaskError as error:
            if isinstance(error.cause, ImportError):
                raise DataError(
                    f"a node of the Ray cluster at {self._address} cannot import {error.cause.name}: install raysweep "
                    "with its dependencies on all nodes"
                ) from error
            if isinstance(error.cause, RaysweepError):
                raise error.cause from None
            raise  # another error of the task itself
        except RayError as error:
            raise DataError(
                f"a worker of the Ray cluster at {self._address} died {RETRIES + 1} times on one task, most likely for "
                f"want of memory, or the cluster is gone ({type(error).__name__}). Finished parts are kept; run the "
                "same command again"
            ) from error
        finally:
            for reference in running:
                ray.cancel(reference)

    def _count(self) -> int:
        """Return the number of tasks that the cluster runs at once now."""
        import ray

        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            self._cores = max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]
        return self._cores


def _single_threaded(function: Callable[[_Task], _Result], task: _Task) -> _Result:
    for name in ONE_THREAD:
        os.environ[name] = "1"  # read by the numerical libraries, which the function imports
    return function(task)
