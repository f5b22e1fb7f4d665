"""Ray's folders for sessions and token on this machine, and faults that keep it from starting."""

import contextlib
import os
import pwd
import secrets
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from raysweep.core.errors import ClusterError
from raysweep.core.io.files import can_make, nearest

SOCKET_BYTES = 103 if sys.platform == "darwin" else 107
"""Longest path of a Unix socket (`sun_path` of unix(7), less its closing zero)."""
_VARIABLES = ("RAY_TMPDIR", "TMPDIR")
"""Variables that name the folder of Ray's sessions, in order; see Ray's `get_default_system_temp_dir`."""


NOWHERE = "/nonexistent"
"""A home directory that does not exist, as Debian gives to users who need none."""


def has_home() -> bool:
    """Whether this user has a home directory: containers may run as an unknown user id, without HOME."""
    try:
        Path.home()
    except RuntimeError:
        return False
    return True


def ray_root(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder that holds Ray's sessions."""
    return Path(next((environment[name] for name in _VARIABLES if name in environment), "/tmp"), "ray")


def token_file(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the path of this user's token, existing or not; None for a user without a home."""
    if environment.get("RAY_AUTH_TOKEN_PATH"):
        return Path(environment["RAY_AUTH_TOKEN_PATH"])
    return Path.home() / ".ray" / "auth_token" if has_home() else None


def has_token(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether Ray finds a token, in the environment or in a file."""
    path = token_file(environment)
    return bool(environment.get("RAY_AUTH_TOKEN")) or (path is not None and os.access(path, os.R_OK))


def can_keep_token() -> bool:
    """Whether Ray can save a token that it generates."""
    path = token_file()
    return path is not None and can_make(path.parent)


def troubles(environment: Mapping[str, str] = os.environ) -> Iterator[tuple[str, str]]:
    """Yield the faults that keep Ray from starting on this machine, each with its remedy."""
    root = ray_root(environment)
    name = next((name for name in _VARIABLES if name in environment), None)
    socket = f"{root}/session_2000-01-01_00-00-00_000000_{os.getpid()}/sockets/plasma_store"
    over = len(os.fsencode(socket)) - SOCKET_BYTES
    if over > 0:
        most = len(os.fsencode(root.parent)) - over
        text = f"{name}={root.parent} is {over} bytes too long: the path of Ray's sockets there passes {SOCKET_BYTES}"
        yield text, f"export RAY_TMPDIR=/tmp, or another folder of at most {most} bytes"
    place = nearest(root)
    remedy = "give a folder of your own: mkdir -p /tmp/ray-mine && export RAY_TMPDIR=/tmp/ray-mine"
    if not place.is_dir():
        yield f"{place}, where Ray keeps its sessions, is not a folder", f"move it away, or {remedy}"
    elif not can_make(place):
        status = place.stat()
        text = f"{place}, where Ray keeps its sessions, cannot be written: it belongs to {user(status.st_uid)}"
        yield f"{text} (mode {status.st_mode & 0o7777:o})", remedy


def require_room() -> None:
    """Check that Ray can start on this machine.

    Raises:
        ClusterError: it cannot; names each fault and its remedy.
    """
    found = [f"{text}; {remedy}" for text, remedy in troubles()]
    if found:
        raise ClusterError(f"Ray cannot start here: {'; '.join(found)}")


@contextlib.contextmanager
def private_token() -> Iterator[None]:
    """Restrict a token that Ray generates in the block to its owner; Ray leaves it readable by other users.

    Where it cannot be saved (no home directory, or a read-only one), it exists in this process and its Ray alone.
    """
    path = token_file()
    disabled = os.environ.get("RAY_AUTH_MODE", "token").lower() != "token"
    if disabled or has_token():
        yield
        return
    if path is None or not can_keep_token():
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        yield
        return
    yield
    if path.exists():
        path.chmod(0o600)


def user(number: int) -> str:
    """Return a user's name, or the number of an unknown user."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"
