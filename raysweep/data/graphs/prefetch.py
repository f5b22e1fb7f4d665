"""Prefetching: the next item of a series is computed while the current one is used."""

from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetched(series: Iterable[T]) -> Generator[T]:
    """Yield a series in its order; a thread computes each next item while the caller works on the one before.

    The items are the same as without the thread. An error in computing an item is raised in the item's place. Closing
    the generator waits for the item that is being computed.
    """
    items, end = iter(series), object()
    with ThreadPoolExecutor(1, thread_name_prefix="raysweep-prefetch") as thread:
        coming = thread.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, items, end)
            yield item  # type: ignore[misc]
