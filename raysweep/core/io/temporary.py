"""Temporary folders that are removed after use; those of killed processes are removed by the next process.

A process holds a lock in each of its folders while it lives, which tells them from those of dead processes: the kernel
releases the lock, however the process ended.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "raysweep-"
_OWNER = ".owner"
_BELONGINGS = ".belongings"


class TemporaryFolder:
    """A temporary folder of this process, and other folders that are removed with it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def adopt(self, folder: Path) -> None:
        """Remove another folder together with this one, such as one that a library made for this process."""
        with (self.path / _BELONGINGS).open("a") as stream:
            stream.write(f"{folder}\n")

    def release(self) -> None:
        """Keep the adopted folders."""
        (self.path / _BELONGINGS).unlink(missing_ok=True)


@contextlib.contextmanager
def temporary_folder(purpose: str) -> Iterator[TemporaryFolder]:
    """Create a folder, readable by this user alone, for the block; first remove the folders of dead processes."""
    sweep_dead()
    path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{purpose}-"))
    # Locked before it has its name: without a lock it would be a dead one's.
    # Not filelock's: it neither follows a lock through a rename nor opens one without creating it (see _lock_of_dead).
    lock = os.open(path / f"{_OWNER}.new", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.rename(path / f"{_OWNER}.new", path / _OWNER)
        yield TemporaryFolder(path)
    finally:
        _remove(path)
        os.close(lock)


def sweep_dead() -> list[Path]:
    """Remove the temporary folders of this user's dead processes, and return them.

    Doubtful folders stay: without a lock, another user's, a link.
    """
    removed = []
    for path in sorted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*")):
        with contextlib.suppress(OSError):  # another process sweeps it at the same time
            if not _is_own_folder(path) or (lock := _lock_of_dead(path / _OWNER)) is None:
                continue
            _remove(path)
            os.close(lock)
            removed.append(path)
    return removed


def _is_own_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and path.stat().st_uid == os.geteuid()


def _lock_of_dead(owner: Path) -> int | None:
    """Acquire and return the lock of a dead process's folder; None where its owner is alive."""
    lock = os.open(owner, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        for line in (path / _BELONGINGS).read_text().splitlines():
            if _is_own_folder(Path(line)):
                shutil.rmtree(line, ignore_errors=True)
    # Its lock goes last, so that what a removal in the middle leaves is found again.
    for child in path.iterdir() if path.exists() else ():
        if child.name not in (_OWNER, _BELONGINGS):
            shutil.rmtree(child, ignore_errors=True) if child.is_dir() and not child.is_symlink() else _unlink(child)
    shutil.rmtree(path, ignore_errors=True)


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
