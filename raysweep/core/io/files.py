"""Files that are written whole or not at all, on any file system that `pyarrow.fs` reaches.

A location is a local path, or a URI such as `s3://bucket/sweep` or `gs://bucket/sweep`.
"""

import errno
import hashlib
import os
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pyarrow import fs

from raysweep.core.errors import RaysweepError, StorageError
from raysweep.core.io.retries import with_retries

PIECE = 4 * 2**20
"""Bytes per read of a file that may be large."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NOT_OURS = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST, errno.EISDIR)
_REMEDIES = {
    **dict.fromkeys(_NO_ROOM, "free some space"),
    errno.EISDIR: "it is a folder: give the name of a file",
    **dict.fromkeys(
        (errno.EEXIST, errno.ENOTDIR), "a file stands where its folder should be: move it, or write elsewhere"
    ),
    errno.ENAMETOOLONG: "give a shorter name",
}
_LONGEST_NAME = 255
"""Most bytes in the name of a file or folder, on all file systems in use."""
_UNREACHABLE = (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES)


def open_location(location: str | Path) -> tuple[fs.FileSystem, str]:
    """Resolve a location to a file system and the path within it.

    Raises:
        RaysweepError: the URI's scheme is unknown, or its file system cannot be opened.
    """
    text = str(location)
    if "://" not in text:
        return fs.LocalFileSystem(), _resolved(text)
    try:
        filesystem, path = fs.FileSystem.from_uri(text)
    except (ValueError, OSError) as error:
        raise RaysweepError(
            f"cannot open {text!r}: {error}. Use a local path, or a URI that pyarrow.fs knows (s3://, gs://, file://)."
        ) from error
    if not path.strip("/") or (path.startswith("/") and not isinstance(filesystem, fs.LocalFileSystem)):
        raise RaysweepError(
            f"cannot open {text!r}: it names no bucket or folder; write one, such as s3://bucket/folder"
        )
    return filesystem, path


def _resolved(text: str) -> str:
    try:
        path = str(Path(text).expanduser().resolve())
        os.lstat(path)
    except FileNotFoundError:
        if any(len(os.fsencode(part)) > _LONGEST_NAME for part in path.split("/")):  # below a folder not made yet
            raise StorageError(f"{text}: {os.strerror(errno.ENAMETOOLONG)}; give another path") from None
        return path
    except (RuntimeError, ValueError) as error:  # a loop of links, a user that is unknown, a NUL
        raise StorageError(f"{text!r} is not a path: {error}; give another one") from error
    except OSError as error:
        if error.errno in _UNREACHABLE:
            raise StorageError(f"{text}: {os.strerror(error.errno or 0)}; give another path") from error
    return path


def open_folder(location: str | Path, what: str = "storage") -> tuple[fs.FileSystem, str]:
    """Open a location that must be a folder, existing or not.

    Args:
        location: a path or a URI.
        what: the key or option that named it, for messages.

    Raises:
        StorageError: it is a file, or a dangling link, maybe to a disk that is not mounted.
    """
    filesystem, path = open_location(location)
    if isinstance(filesystem, fs.LocalFileSystem):
        given = Path(str(location).removeprefix("file://")).expanduser()
        for place in (Path(path), *Path(path).parents):
            if place.exists() and not place.is_dir():
                raise StorageError(f"{what} {location}: {place} is a file, not a folder; give another one")
        for place in (given, *given.parents):
            if place.is_symlink() and not place.exists():
                raise StorageError(
                    f"{what} {location}: {place} is a link to {os.readlink(place)}, which is not there; mount or make "
                    "it, or give another folder"
                )
    return filesystem, path


def absolute(location: str | Path) -> str:
    """Make a location independent of the working directory: an absolute path, or a URI as it is."""
    text = str(location)
    return text if "://" in text else open_location(text)[1]


def nearest(path: Path) -> Path:
    """Return the path itself, or its nearest existing parent."""
    return next(place for place in (path, *path.parents) if place.exists())


def can_make(path: Path) -> bool:
    """Return whether this user may write to a folder, or create it."""
    return os.access(nearest(path), os.W_OK | os.X_OK)


def digest_file(filesystem: fs.FileSystem, path: str) -> tuple[str, int] | None:
    """Compute a file's SHA-256 and its size in bytes, or None where there is no such file."""
    total, size = hashlib.sha256(), 0
    try:
        with filesystem.open_input_stream(path) as stream:
            while piece := stream.read(PIECE):
                total.update(piece)
                size += len(piece)
    except FileNotFoundError:
        return None
    return total.hexdigest(), size


def write_whole(
    filesystem: fs.FileSystem, path: str, data: bytes | memoryview, *, before: Callable[[], object] = lambda: None
) -> None:
    """Write a file so that a reader sees all or nothing of it, even after a power cut.

    Locally: a temporary file in the same folder, fsync, rename. On an object store one PUT is atomic by itself.
    Parent folders are created. Writes are retried while a remote storage does not answer.

    Args:
        filesystem: where the file is.
        path: the file.
        data: its content.
        before: called before each attempt; its exception ends the attempts.

    Raises:
        StorageError: the disk is full or read-only, or the storage does not answer.
    """

    def attempt() -> None:
        before()
        _write(filesystem, path, data)

    with no_room_is_ours(path):
        with_retries(filesystem, path, attempt)


@contextmanager
def no_room_is_ours(path: str) -> Iterator[None]:
    """Convert errors of a full or read-only disk, raised while `path` is written, to a StorageError."""
    try:
        yield
    except OSError as error:
        if error.errno not in (*_NO_ROOM, *_NOT_OURS):
            raise
        remedy = _REMEDIES.get(error.errno or 0, "make it a folder that this user can write to")
        raise StorageError(
            f"{path} cannot be written: {os.strerror(error.errno)}. What was written before is whole; {remedy}, then "
            "run the same command again"
        ) from error


def _write(filesystem: fs.FileSystem, path: str, data: bytes | memoryview) -> None:
    if isinstance(filesystem, fs.LocalFileSystem):
        folder = os.path.dirname(path)
        os.makedirs(folder, exist_ok=True)
        # not mkstemp: its files are for their owner alone, and a store on a shared disk is for others too
        temporary = os.path.join(folder, f".writing-{uuid.uuid4().hex}")
        try:
            with open(temporary, "xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return
    with filesystem.open_output_stream(path) as stream:
        stream.write(data)


def read_whole(filesystem: fs.FileSystem, path: str) -> bytes | None:
    """Read a file whole, or return None where there is no such file; retried while a remote storage does not answer.

    Raises:
        RaysweepError: it is a pipe, a device or a folder; reading a pipe without a writer would block.
    """
    if isinstance(filesystem, fs.LocalFileSystem):
        _refuse_pipe(path)

    def read() -> bytes:
        with filesystem.open_input_stream(path) as stream:
            return bytes(stream.read())

    try:
        return with_retries(filesystem, path, read)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno not in _NOT_OURS:
            raise
        raise StorageError(f"{path} cannot be read: {os.strerror(error.errno)}") from error


def _refuse_pipe(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode):
        raise RaysweepError(f"{path}: not a file; give the path of one")


def list_folder(filesystem: fs.FileSystem, folder: str, *, recursive: bool = False) -> list[fs.FileInfo]:
    """List the entries of a folder; none where there is no such folder."""
    selector = fs.FileSelector(folder, allow_not_found=True, recursive=recursive)
    found: list[fs.FileInfo] = with_retries(filesystem, folder, lambda: filesystem.get_file_info(selector))
    return found
