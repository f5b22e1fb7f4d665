"""Shards of remote stores, fetched once per machine and mapped from its disk by every trial on it."""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

import pyarrow as pa
from filelock import FileLock
from pyarrow import fs

from raysweep.core.errors import DataError
from raysweep.core.io.files import PIECE, can_make, no_room_is_ours
from raysweep.data.store.manifest import Shard


def cache_folder() -> Path:
    """The folder of cached shards: the environment variable RAYSWEEP_CACHE, or ~/.cache/raysweep.

    Without a writable home (containers) it is in the folder of temporary files. Files there are named by their SHA-256
    and never change; they may be deleted whenever no trial is starting.
    """
    named = os.environ.get("RAYSWEEP_CACHE")
    if named:
        return Path(named).expanduser()
    with contextlib.suppress(RuntimeError):  # neither HOME nor a passwd entry
        folder = Path.home() / ".cache" / "raysweep"
        if can_make(folder):
            return folder
    return Path(tempfile.gettempdir()) / f"raysweep-cache-{os.getuid()}"


def cached(shard: Shard, filesystem: fs.FileSystem, path: str) -> pa.Buffer:
    """Map a shard from the cache; a missing one is fetched, by one process at a time.

    Raises:
        FileNotFoundError: the store has no such file.
        DataError: the fetched bytes do not have the manifest's digest.
        StorageError: the machine's disk has no room for it.
    """
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except PermissionError as error:
        raise DataError(
            f"{folder}, for remote shards, cannot be created ({error.strerror}): set RAYSWEEP_CACHE"
        ) from error
    file = folder / f"{shard.sha256}.arrow"
    with FileLock(folder / f"{shard.sha256}.lock"):
        if not file.exists() or file.stat().st_size != shard.bytes:
            if filesystem.get_file_info(path).type == fs.FileType.NotFound:
                raise FileNotFoundError(f"{path} is missing")
            temporary = (
                folder / f".fetching-{shard.sha256}"
            )  # under the lock: what a killed process left is overwritten
            try:
                _fetch(shard, filesystem, path, temporary)
                temporary.replace(file)
            finally:
                temporary.unlink(missing_ok=True)
    return pa.memory_map(str(file)).read_buffer()


def _fetch(shard: Shard, filesystem: fs.FileSystem, path: str, target: Path) -> None:
    """Copy a shard piece by piece, and compare its SHA-256."""
    total, size = hashlib.sha256(), 0
    with filesystem.open_input_stream(path) as stream, target.open("wb") as out, no_room_is_ours(str(target)):
        while piece := stream.read(PIECE):
            total.update(piece)
            size += len(piece)
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())
    if total.hexdigest() != shard.sha256:
        raise DataError(
            f"shard {shard.name}: the fetched file is torn or altered, {size} of {shard.bytes} bytes with "
            "another SHA-256 than the manifest's. Copy the store again from an intact one, or remake it"
        )
