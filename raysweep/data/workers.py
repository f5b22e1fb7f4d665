"""Worker processes that yield results in the order of their tasks, with a bounded number in flight."""

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import connection, get_context, parent_process
from types import TracebackType
from typing import Protocol, TypeVar

from raysweep.core.errors import DataError

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")
PREFETCH_PER_WORKER = 3
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Set to 1 in a worker before it loads numerical libraries."""


def usable_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Pool(Protocol):
    """Runs tasks on workers; a context that ends what it started."""

    def in_order(self, function: Callable[[_Task], _Result], tasks: Iterable[_Task]) -> Iterator[_Result]:
        """Yield `function(task)` of each task in order; tasks are drawn as needed and may be endless."""

    def __enter__(self) -> "Pool":
        """Return itself."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Drop the tasks that have not started."""


class Workers:
    """Fresh single-threaded processes (spawned: a fork of a process with threads may hang); use it as a context."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_begin)

    def __enter__(self) -> "Workers":
        """Return itself; processes start with the first task."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Drop the tasks that have not started, and wait for the others."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def in_order(self, function: Callable[[_Task], _Result], tasks: Iterable[_Task]) -> Iterator[_Result]:
        """Yield `function(task)` of each task in their order; tasks are drawn as needed and may be endless.

        Raises:
            DataError: a worker process was killed.
        """
        stream = iter(tasks)
        running: deque[Future[_Result]] = deque()
        try:
            while True:
                room = PREFETCH_PER_WORKER * self._count - len(running)
                for task in islice(stream, room):
                    with _main_module_hidden():
                        running.append(self._pool.submit(function, task))
                if not running:
                    return
                yield running.popleft().result()
        except BrokenProcessPool as error:
            raise DataError(
                "a worker process was killed from outside, most likely for lack of memory. Use fewer workers"
            ) from error


@contextmanager
def _main_module_hidden() -> Iterator[None]:
    """Keep new workers from importing the user's main module, which they do not need.

    Without this, a script with no `if __name__ == "__main__"`, or one read from standard input, cannot start workers.
    multiprocessing looks at these two attributes, and has no setting for it.
    """
    main = sys.modules["__main__"]
    hidden = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
    for name in hidden:
        setattr(main, name, None)
    try:
        yield
    finally:
        for name, value in hidden.items():
            setattr(main, name, value)


def _begin() -> None:
    """Prepare a worker: one thread, ended with its parent, which handles ctrl-c and a closed terminal."""
    for name in ONE_THREAD:
        os.environ[name] = "1"  # read by the numerical libraries, which are imported after this
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
