"""Checkpoints of a trial's attempts: each attempt has its own folder, which begins as a copy of the earlier ones.

    checkpoints/000001-3f2a.../     of a worker that was cut off, and may still be writing
    checkpoints/000002-91bc.../     of its replacement

So a worker that outlives its claim can never touch its successor's files, whatever the file system.
"""

import contextlib

from pyarrow import fs

from raysweep.core.errors import TrialError
from raysweep.core.io.files import list_folder, read_whole, write_whole
from raysweep.core.io.retries import with_retries

FIRST = "000000-given"
"""Folder of checkpoints that a trial begins with, before its first attempt."""
_TRIES = 10


def newest(filesystem: fs.FileSystem, folder: str) -> str:
    """Find the folder of the newest attempt; the folder of all attempts before the first."""
    names = sorted(info.base_name for info in list_folder(filesystem, folder) if info.type == fs.FileType.Directory)
    return f"{folder}/{names[-1]}" if names else folder


def take_over(filesystem: fs.FileSystem, folder: str, attempt: int, writer: str) -> str:
    """Make the folder of a new attempt, move the checkpoints of earlier attempts into it, and return its path.

    Args:
        filesystem: where the trial is.
        folder: that of all attempts' checkpoints.
        attempt: number of the new attempt.
        writer: token of the new attempt.

    Raises:
        TrialError: another worker writes faster than this one can read.
    """
    mine = f"{folder}/{attempt:06d}-{writer[:12]}"
    for _ in range(_TRIES):
        files = _files(filesystem, folder, mine)
        if all(_copy(filesystem, path, f"{mine}/{name}") for path, name in files):
            break  # otherwise a surviving worker has written a newer file and removed this one
    else:
        raise TrialError(f"{folder}: another worker of this trial is still writing; end it, and run the sweep again")
    for path in sorted({path.removeprefix(f"{folder}/").partition("/")[0] for path, _ in files}):
        _remove(filesystem, f"{folder}/{path}")
    return mine


def remove_all(filesystem: fs.FileSystem, folder: str) -> None:
    """Remove the checkpoints of all attempts of a trial."""
    for info in list_folder(filesystem, folder):
        _remove(filesystem, info.path)


def _files(filesystem: fs.FileSystem, folder: str, mine: str) -> list[tuple[str, str]]:
    """List the files of earlier attempts, the oldest attempt first, with their names within an attempt's folder."""
    found = []
    for info in list_folder(filesystem, folder, recursive=True):
        inner = info.path[len(folder) :].strip("/")
        first, _, name = inner.partition("/")
        if info.type != fs.FileType.File or info.path.startswith(f"{mine}/") or ".writing-" in inner:
            continue
        # Files next to the attempts' folders were written before there were any.
        found.append(("" if not name else first, info.path, name or first))
    return [(path, name) for _, path, name in sorted(found)]


def _copy(filesystem: fs.FileSystem, source: str, target: str) -> bool:
    data = read_whole(filesystem, source)
    if data is not None:
        write_whole(filesystem, target, data)
    return data is not None


def _remove(filesystem: fs.FileSystem, path: str) -> None:
    def remove() -> None:
        if filesystem.get_file_info(path).type == fs.FileType.File:
            filesystem.delete_file(path)
        else:
            filesystem.delete_dir(path)

    # Gone already, or a surviving worker is writing into it: then it stays behind, which does no harm.
    with contextlib.suppress(OSError):
        with_retries(filesystem, path, remove)
