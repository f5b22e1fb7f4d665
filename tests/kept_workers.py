"""Worker processes that stay for the next store: starting two of them takes longer than what most tests make."""

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from raysweep.data.workers import Workers

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


class KeptWorkers:
    """A pool of two processes whose context ends nothing; `end` does."""

    def __init__(self) -> None:
        self._workers = Workers(2)

    def in_order(self, function: Callable[[_Task], _Result], tasks: Iterable[_Task]) -> Iterator[_Result]:
        return self._workers.in_order(function, tasks)

    def __enter__(self) -> "KeptWorkers":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

    def end(self) -> None:
        self._workers.__exit__(None, None, None)
