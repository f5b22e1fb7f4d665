"""Making the next of a series while the present one is used."""

from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(series: Iterable[T]) -> Generator[T]:
    """Yield a series in its order, each next item made by a thread while the caller works on the one before.

    What an item is does not change, so neither do the bits of what is computed of it. An error that making it raises is
    raised where the item would have come. Closing the generator waits for the item that is being made.
    """
    items, end = iter(series), object()
    with ThreadPoolExecutor(1, thread_name_prefix="raysweep-ahead") as thread:
        coming = thread.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, items, end)
            yield item  # type: ignore[misc]
