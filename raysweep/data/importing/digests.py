"""SHA-256 of files, computed in parallel with other work."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from raysweep.core.io.files import PIECE


@contextmanager
def digests_beside(files: Sequence[Path], threads: int) -> Iterator[Callable[[], list[str]]]:
    """Hash files in threads during the block; the yielded function waits for the digests, in the files' order."""
    over = threading.Event()
    with ThreadPoolExecutor(threads) as pool:
        try:
            hashed = [pool.submit(digest_of, file, over) for file in files]
            yield lambda: [one.result() for one in hashed]
        finally:
            over.set()


def digest_of(file: Path, over: threading.Event | None = None) -> str:
    """Compute the SHA-256 of a file as 64 hexadecimal digits; stops early once `over` is set."""
    total, piece = hashlib.sha256(), memoryview(bytearray(PIECE))
    with file.open("rb", buffering=0) as stream:
        while not (over and over.is_set()) and (size := stream.readinto(piece)):
            total.update(piece[:size])
    return total.hexdigest()
