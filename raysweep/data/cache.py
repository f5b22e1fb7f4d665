"""Shards of remote stores, fetched once per machine and mapped from its disk by every trial on it."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from raysweep.data.manifest import Shard
from raysweep.errors import DataError
from raysweep.files import digest, write_whole


def cache_folder() -> Path:
    """Return where shards are kept: the environment variable RAYSWEEP_CACHE, or ~/.cache/raysweep.

    Files there are named by their SHA-256 and never change: they may be deleted at any time no trial starts.
    """
    return Path(os.environ.get("RAYSWEEP_CACHE") or "~/.cache/raysweep").expanduser()


def cached(shard: Shard, fetch: Callable[[], bytes]) -> pa.Buffer:
    """Return a shard mapped from the cache; `fetch` is called where it is not there yet, by one process at a time.

    Raises:
        DataError: what was fetched is not what the manifest promises.
    """
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{shard.sha256}.arrow"
    with (folder / f"{shard.sha256}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists() or file.stat().st_size != shard.bytes:
            data = fetch()
            if digest(data) != shard.sha256:
                raise DataError(
                    f"shard {shard.name}: what was fetched is torn or altered, {len(data)} of {shard.bytes} bytes with "
                    "another SHA-256 than the manifest's. Copy the store again from an intact one, or remake it"
                )
            write_whole(fs.LocalFileSystem(), str(file), data)
    return pa.memory_map(str(file)).read_buffer()
