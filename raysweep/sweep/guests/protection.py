"""Protection from users' code that changes or ends its process or raises exceptions that cannot be printed."""

import contextlib
import os
import random
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator

from raysweep.core.messages import sound
from raysweep.core.version import PACKAGE_FOLDER

_OWN_FILES = str(PACKAGE_FOLDER / "sweep")
_LIBRARIES = os.path.dirname(os.__file__)


@contextlib.contextmanager
def preserved_environment() -> Iterator[None]:
    """Restore the process for its next trial after the block: working folder, environment, streams, settings."""
    with kept_host(), _kept_environment(), _kept_settings():
        yield


@contextlib.contextmanager
def kept_host() -> Iterator[None]:
    """Restore the process's own streams, folder, signal handlers and warning filters after the block."""
    with kept_streams(), _kept_folder(), _kept_signals(), warnings.catch_warnings():
        yield


@contextlib.contextmanager
def kept_streams() -> Iterator[None]:
    """Put back standard input, output and error."""
    streams = sys.stdin, sys.stdout, sys.stderr
    kept = {}
    for descriptor in (0, 1, 2):
        with contextlib.suppress(OSError):  # a daemon may have been started without them
            kept[descriptor] = os.dup(descriptor)
    try:
        yield
    finally:
        for descriptor, copy in kept.items():
            os.dup2(copy, descriptor)
            os.close(copy)
        sys.stdin, sys.stdout, sys.stderr = streams


@contextlib.contextmanager
def _kept_folder() -> Iterator[None]:
    folder, mask = "/", _file_mask()
    with contextlib.suppress(OSError):  # it may have been removed
        folder = os.getcwd()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it may have removed the folder
            os.chdir(folder)
        if mask is not None and _file_mask() != mask:
            os.umask(mask)


@contextlib.contextmanager
def _kept_signals() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only Python's main thread may set handlers
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def _file_mask() -> int | None:
    """Return the process's umask without changing it, which other threads would see; None where it cannot be read."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as stream:
            return next((int(line.split()[1], 8) for line in stream if line.startswith("Umask:")), None)
    except OSError:
        return None


@contextlib.contextmanager
def _kept_environment() -> Iterator[None]:
    environment, places = dict(os.environ), list(sys.path)
    try:
        yield
    finally:
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)
        # Folders that it added are kept: modules found there may import others later.
        sys.path[:0] = [place for place in places if place not in sys.path]


@contextlib.contextmanager
def _kept_settings() -> Iterator[None]:
    """Keep settings of Python and torch that decide numbers; torch loaded meanwhile gets its defaults."""
    limit = sys.getrecursionlimit()
    before = _torch_settings()
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
        if (torch := sys.modules.get("torch")) is not None and _torch_settings() != before:
            dtype, deterministic, precision = before or ("float32", False, "highest")
            torch.set_default_dtype(getattr(torch, dtype))
            torch.use_deterministic_algorithms(deterministic)
            torch.set_float32_matmul_precision(precision)


def _torch_settings() -> tuple[str, bool, str] | None:
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    dtype = str(torch.get_default_dtype()).removeprefix("torch.")
    return dtype, torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision()


def seed_generators(seed: int) -> None:
    """Seed the global generators of random, NumPy and torch, as far as they are loaded.

    A training that draws from them unseeded would otherwise depend on the trials that its process ran before.
    """
    random.seed(seed)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(seed % 2**32)
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(seed)


@contextlib.contextmanager
def own_streams() -> Iterator[None]:
    """Replace standard output and error by streams that may be closed and accept any text."""
    with contextlib.ExitStack() as stack:
        for redirect, descriptor in ((contextlib.redirect_stdout, 1), (contextlib.redirect_stderr, 2)):
            with contextlib.suppress(OSError):
                stream = os.fdopen(os.dup(descriptor), "w", buffering=1, errors="backslashreplace")
                stack.callback(_close, stream)
                stack.enter_context(redirect(stream))
        yield


def _close(stream: object) -> None:
    with contextlib.suppress(OSError, ValueError):
        getattr(stream, "close")()  # noqa: B009 - the training may have closed it


@contextlib.contextmanager
def empty_command_line(module: str) -> Iterator[None]:
    """Hide the command line, which is raysweep's or a worker's, from a module's argparse."""
    arguments, sys.argv = sys.argv, [module]
    try:
        yield
    finally:
        sys.argv = arguments


def shown(value: object) -> str:
    """Format a value in at most eighty characters, even if its repr fails."""
    try:
        text = repr(value)
    except BaseException:  # noqa: BLE001 - other people's code
        text = f"a {type(value).__name__}"
    text = _line(text)
    return text if len(text) <= 80 else f"{text[:77]}..."


def shown_error(error: BaseException, longest: int = 500) -> str:
    """Format the type and text of an exception in one line, even if its text fails or is endless."""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - other people's code
        text = "(its text cannot be read)"
    text = _line(text[: 4 * longest])
    return f"{type(error).__name__}: {text if len(text) <= longest else text[: longest - 3] + '...'}"


def told(error: BaseException) -> str:
    """Describe how users' code ended, with place and remedy; the text follows the code's name."""
    if isinstance(error, SystemExit):
        return (
            f"called sys.exit({shown(error.code)}) at {place_of(error)}: it has no process to end and no command line "
            "to read; return at the end, raise an exception where it fails, and keep argparse under "
            "`if __name__ == '__main__':`"
        )
    return f"raised {shown_error(error)} at {place_of(error)}"


def place_of(error: BaseException) -> str:
    """Return file and line of the innermost frame of the users' code."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{os.path.basename(error.filename)}:{error.lineno}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith((_OWN_FILES, "<froz"))]
    theirs = [f for f in frames if not f.filename.startswith(_LIBRARIES) and "site-packages" not in f.filename]
    frames = theirs or frames
    return f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else "an unknown place"


def described(error: BaseException) -> str:
    """Return an exception with its traceback; the last lines tell the place and the reason."""
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - of other people's exceptions
        return f"{''.join(traceback.format_tb(error.__traceback__))}{shown_error(error)}\n"


def _line(text: str) -> str:
    return " ".join(sound(text).split())
