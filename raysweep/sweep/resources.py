"""The Ray cluster of a sweep: started here or joined, quiet, and checked to hold a trial at all."""

import contextlib
import io
import logging
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from raysweep.errors import RaysweepError, SpaceError
from raysweep.sweep.space import Space

REACH_SECONDS = 5.0

# Read by Ray Tune when it is imported: no result files and no console tables of its own, the trial store has it all;
# and no experiment snapshots during the run, since nothing is ever resumed from them.
_TUNE_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # an entrypoint finds its files where the command was run
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a trial that failed before its first point reports nothing
}


def set_environment() -> None:
    """Set what Ray reads from the environment; a value that is set already stays."""
    for name, value in _TUNE_ENVIRONMENT.items():
        os.environ.setdefault(name, value)


@contextlib.contextmanager
def cluster(space: Space) -> Iterator[None]:
    """Hold a Ray cluster: one that is joined already, that of RAY_ADDRESS, or a local one that ends with the block.

    Raises:
        SpaceError: no node of the cluster can hold a trial.
    """
    with joined(os.environ.get("RAY_ADDRESS") or "local"):
        import ray

        nodes = ray.nodes()  # type: ignore[no-untyped-call]
        _check_fits(space, [node["Resources"] for node in nodes if node["Alive"]])
        yield


@contextlib.contextmanager
def joined(address: str) -> Iterator[None]:
    """Hold the Ray cluster at an address (`local`: one that ends with the block), or the one that is joined already.

    Raises:
        RaysweepError: there is no cluster at the address.
    """
    set_environment()
    import ray  # a finished sweep needs no Ray

    if ray.is_initialized():
        yield
        return
    try:
        _reach(address)  # Ray itself tries for minutes
        ray.init(
            address=address,
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=True,
        )
    except (OSError, ValueError) as error:
        raise RaysweepError(
            f"no Ray cluster at {address!r} ({str(error).splitlines()[0]}). Start one (`ray start --head`), or name "
            "another address (RAY_ADDRESS)"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Connect to an address of the kind HOST:PORT or ray://HOST:PORT once; `auto` and `local` are Ray's to look up."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_SECONDS).close()


def _check_fits(space: Space, nodes: list[dict[str, float]]) -> None:
    for key, name in (("cpu", "CPU"), ("gpu", "GPU")):
        wanted = space.resources.most[name]
        most = max((node.get(name, 0.0) for node in nodes), default=0.0)
        if wanted > most:
            raise space.error(
                ("resources", key),
                f"a trial asks for {wanted:g} {name} and the largest node has {most:g}; ask for less",
            )
    if not any(
        n.get("CPU", 0) >= space.resources.cpu and n.get("GPU", 0) >= space.resources.most["GPU"] for n in nodes
    ):
        raise SpaceError(
            f"no node has {space.resources.cpu:g} CPU and {space.resources.most['GPU']:g} GPU at once; ask for less"
        )


def whole_node(space: Space) -> dict[str, float]:
    """Return what a trial asks of Ray to be alone on its node: all that is free now on the node with the most memory.

    What others hold of the cluster before the sweep begins is not waited for.
    """
    import ray

    wanted = space.resources.most
    free = ray._private.state.available_resources_per_node()  # type: ignore[no-untyped-call]
    nodes = [node for node in free.values() if all(node.get(name, 0.0) >= count for name, count in wanted.items())]
    largest = max(nodes, key=lambda node: node.get("memory", 0.0), default=wanted)
    return {name: largest.get(name, 0.0) for name in wanted}


class _Lossy(io.TextIOBase):
    """Text into a log that may be lost where its disk is full: that is no reason to end a sweep."""

    def __init__(self, stream: io.RawIOBase) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text.encode())
        return len(text)


@contextlib.contextmanager
def quiet(log: Path | None) -> Iterator[None]:
    """Send what Ray and others print, and write to standard error, into a log file while the block runs.

    Of standard error the file descriptor itself is turned, since Ray's core writes past Python.
    """
    if log is None:
        yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    kept = os.dup(2)
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.dup2(target, 2)
        with os.fdopen(os.dup(target), "ab", buffering=0) as stream, contextlib.redirect_stdout(_Lossy(stream)):
            yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(target)
