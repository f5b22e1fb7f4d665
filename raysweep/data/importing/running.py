"""The processes that an import reads its files with."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol, TypeVar

from raysweep.core.errors import DataError
from raysweep.data.importing.digests import digest_of, digests_beside
from raysweep.data.workers import Workers, usable_cores

IN_PROCESS_BYTES = 16 * 2**20
"""Files that are smaller together are read without worker processes, whose start takes longer."""
WORKERS_PER_DIGEST = 8
"""Processes that read no faster than one thread hashes."""
_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


class InOrder(Protocol):
    """Yields `function(task)` of each task in order, whatever processes compute it."""

    def __call__(self, function: Callable[[_Task], _Result], tasks: Iterable[_Task], /) -> Iterator[_Result]:
        """Draw the tasks as they are needed."""


def process_count(files: Sequence[Path], workers: int | None) -> int:
    """The number of processes to read files with: one for each core by default, and one alone for small files.

    Raises:
        DataError: `workers` is below 1.
    """
    if workers is not None and workers < 1:
        raise DataError(f"workers is {workers}; it must be at least 1")
    if workers is None and sum(file.stat().st_size for file in files) < IN_PROCESS_BYTES:
        return 1
    return workers or usable_cores()


def processes(count: int) -> InOrder:
    """Run tasks in `count` processes of this machine; a count of 1 is this process."""

    def run(function: Callable[[_Task], _Result], tasks: Iterable[_Task], /) -> Iterator[_Result]:
        if count == 1:
            yield from map(function, tasks)
            return
        with Workers(count) as pool:
            yield from pool.in_order(function, tasks)

    return run


def digests(
    files: Sequence[Path], in_order: InOrder | None, count: int
) -> AbstractContextManager[Callable[[], list[str]]]:
    """Hash files during a block; the function that is yielded waits for the digests.

    Args:
        files: to hash.
        in_order: runs tasks on other machines, which hash the files once the digests are asked for.
        count: processes of this machine that read the files meanwhile.
    """
    if in_order is None:
        return digests_beside(files, 1 + count // WORKERS_PER_DIGEST)
    return nullcontext(lambda: list(in_order(digest_of, files)))
