"""The Ray cluster of a sweep: started here or joined, quiet, and checked to hold a trial at all."""

import contextlib
import io
import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from raysweep.errors import RaysweepError
from raysweep.files import absolute
from raysweep.sweep.environment import wanted_of_nodes
from raysweep.sweep.nodes import alive_nodes, all_here, require_nodes
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
        ClusterError: a node has another environment, or does not reach the storage or the data.
    """
    with joined(os.environ.get("RAY_ADDRESS") or "local"):
        nodes = alive_nodes()
        check_fits(space, [node.resources for node in nodes])
        if not all_here(nodes):
            manifest = [f"{absolute(space.data.store)}/manifest.json"] if space.data else []
            require_nodes(absolute(space.storage), manifest, wanted_of_nodes())
        yield


def check_before_data(space: Space) -> None:
    """Check that the nodes of RAY_ADDRESS, which are to make the data, reach where it is to lie, and the storage.

    Raises:
        ClusterError: a node does not, or has another environment.
    """
    address = os.environ.get("RAY_ADDRESS")
    if address is None or space.data is None:
        return
    with joined(address):
        if not all_here(alive_nodes()):
            for place in (space.storage, os.path.dirname(absolute(space.data.store).rstrip("/"))):
                require_nodes(absolute(place), [], wanted_of_nodes())


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
        with _private_token():
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


@contextlib.contextmanager
def _private_token() -> Iterator[None]:
    """Leave a token that Ray makes in the block to its owner: Ray lets others on the machine read it, and use it."""
    token = Path.home() / ".ray" / "auth_token"
    there = token.exists()
    yield
    if not there and token.exists():
        token.chmod(0o600)


def _reach(address: str) -> None:
    """Connect to an address of the kind HOST:PORT or ray://HOST:PORT once; `auto` and `local` are Ray's to look up."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_SECONDS).close()


def cluster_slots(space: Space) -> int:
    """Return how many trials the nodes of RAY_ADDRESS hold at once, each node as many as fit it.

    Raises:
        SpaceError: none fits anywhere; names the resource that is missing.
    """
    with joined(os.environ["RAY_ADDRESS"]):
        nodes = [node.resources for node in alive_nodes()]
        check_fits(space, nodes)
        wanted = {name: count for name, count in space.resources.most.items() if count}
        fit = sum(min(int(node.get(name, 0.0) / count) for name, count in wanted.items()) for node in nodes)
        return min(fit, space.resources.parallel or fit)


def check_fits(space: Space, nodes: Sequence[Mapping[str, float]]) -> None:
    """Check that some node can hold a trial.

    Raises:
        SpaceError: none can; names the resource that is missing.
    """
    for key, name in (("cpu", "CPU"), ("gpu", "GPU")):
        wanted = space.resources.most[name]
        most = max((node.get(name, 0.0) for node in nodes), default=0.0)
        if wanted > most:
            raise space.error(
                ("resources", key),
                f"a trial asks for {wanted:g} {name} and no node has more than {most:g}; ask for less, or add a node "
                "that has it",
            )
    if not any(
        n.get("CPU", 0) >= space.resources.cpu and n.get("GPU", 0) >= space.resources.most["GPU"] for n in nodes
    ):
        raise space.error(
            ("resources",),
            f"no node has {space.resources.cpu:g} CPU and {space.resources.most['GPU']:g} GPU at once; ask for less",
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
