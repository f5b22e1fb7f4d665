"""The Ray cluster of a sweep: started here or joined, quiet, and checked to hold a trial at all."""

import contextlib
import io
import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pyarrow import fs

from raysweep.core.errors import ClusterError, StorageError
from raysweep.core.io.files import absolute, write_whole
from raysweep.core.io.temporary import temporary_folder
from raysweep.core.masking import masked
from raysweep.sweep.cluster.environment import wanted_of_nodes
from raysweep.sweep.cluster.nodes import alive_nodes, all_here, require_nodes
from raysweep.sweep.cluster.ray_environment import ray_environment
from raysweep.sweep.cluster.ray_home import private_token, ray_root, require_room
from raysweep.sweep.cluster.ray_services import kill_services
from raysweep.sweep.cluster.signals import interruptible
from raysweep.sweep.cluster.watch import CORE_SECONDS, ClusterWatch, watching
from raysweep.sweep.space.space import Space

REACH_SECONDS = 5.0


@contextlib.contextmanager
def cluster(space: Space) -> Iterator[ClusterWatch]:
    """Hold a Ray cluster: one that is joined already, that of RAY_ADDRESS, or a local one that ends with the block.

    Yields:
        What tells whether the cluster, or a host of it, is lost.

    Raises:
        SpaceError: no node of the cluster can hold a trial.
        ClusterError: a node has another environment, or does not reach the storage or the data.
        ClusterLostError: what no driver outlives died: the head, Ray on this host, or the last host for a trial.
    """
    with joined(os.environ.get("RAY_ADDRESS") or "local") as watch:
        nodes = alive_nodes()
        check_fits(space, [node.resources for node in nodes])
        if not all_here(nodes):
            manifest = [f"{absolute(space.data.store)}/manifest.json"] if space.data else []
            require_nodes(absolute(space.storage), manifest, wanted_of_nodes())
        watch.need(lambda hosts: fits(space, hosts))
        yield watch


def check_before_data(space: Space) -> None:
    """Check that the nodes of RAY_ADDRESS, which are to make the data, reach where it is to lie, and the storage.

    Where there is none, that Ray will be able to start here: minutes later is late.

    Raises:
        ClusterError: a node does not, or has another environment.
    """
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        require_room()
    if not address or space.data is None:
        return
    with joined(address):
        if not all_here(alive_nodes()):
            for place in (space.storage, os.path.dirname(absolute(space.data.store).rstrip("/"))):
                require_nodes(absolute(place), [], wanted_of_nodes())


@contextlib.contextmanager
def joined(address: str) -> Iterator[ClusterWatch]:
    """Hold the Ray cluster at an address (`local`: one that ends with the block), or the one that is joined already.

    Raises:
        ClusterError: there is no cluster at the address, or Ray cannot start on this machine.
        ClusterLostError: its head, or Ray on this host, died meanwhile.
    """
    with ray_environment(), interruptible(), contextlib.ExitStack() as stack:
        watch = stack.enter_context(watching(address))
        import ray  # a finished sweep needs no Ray

        if ray.is_initialized():
            watch.joined(ray.get_runtime_context().get_node_id())
            yield watch
            return
        own = stack.enter_context(temporary_folder("ray")) if address == "local" else None
        _join(address)
        try:
            if own is not None:  # Ray itself leaves its session's folder behind, however it ends
                own.adopt(Path(ray._private.worker._global_node.get_session_dir_path()))  # type: ignore[attr-defined]
            watch.joined(ray.get_runtime_context().get_node_id())
            with interruptible():  # again, since Ray has put a handler of its own for SIGTERM
                yield watch
        except Exception:
            if own is not None:
                own.release()  # its logs may say why
            raise
        finally:
            watch.left()
            if watch.lost:
                if own is not None:
                    own.release()  # the line that says why names a log in it
                kill_services()  # `ray.shutdown` would ask them, and wait
            ray.shutdown()


def _join(address: str) -> None:
    import ray

    local = address == "local"
    if local:
        require_room()
    else:
        os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", str(CORE_SECONDS))
    try:
        _reach(address)  # Ray itself tries for minutes
        with private_token() if local else contextlib.nullcontext():
            ray.init(
                address=address,
                include_dashboard=False if local else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=True,
            )
    except Exception as error:  # Ray raises even a plain Exception
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        if local:
            raise ClusterError(
                f"Ray cannot start here: {reason}. `raysweep doctor` may know more; Ray's logs are in {ray_root()}"
            ) from error
        raise ClusterError(
            f"no Ray cluster at {address!r} ({reason}). Start one (`ray start --head`), or name another address "
            "(RAY_ADDRESS)"
        ) from error


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
    if not fits(space, nodes):
        raise space.error(
            ("resources",),
            f"no node has {space.resources.cpu:g} CPU and {space.resources.most['GPU']:g} GPU at once; ask for less",
        )


def fits(space: Space, nodes: Sequence[Mapping[str, float]]) -> bool:
    """Return whether some node can hold a trial."""
    wanted = space.resources.most
    return any(all(node.get(name, 0.0) >= count for name, count in wanted.items()) for node in nodes)


def whole_node(space: Space) -> dict[str, float]:
    """Return the resources for a trial alone on its node: all that are free on the node with the most memory.

    What others hold of the cluster before the sweep begins is not waited for.
    """
    import ray

    wanted = space.resources.most
    free = ray._private.state.available_resources_per_node()  # type: ignore[no-untyped-call]
    nodes = [node for node in free.values() if all(node.get(name, 0.0) >= count for name, count in wanted.items())]
    largest = max(nodes, key=lambda node: node.get("memory", 0.0), default=wanted)
    return {name: largest.get(name, 0.0) for name in wanted}


class _Lossy(io.TextIOBase):
    """Log stream that ignores write errors: a full disk must not end a sweep."""

    def __init__(self, stream: io.RawIOBase) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):  # full, or closed since
            self._stream.write(masked(text).encode(errors="backslashreplace"))
        return len(text)


@contextlib.contextmanager
def quiet(log: Path | None) -> Iterator[None]:
    """Redirect the output of Ray and other libraries to a log file while the block runs.

    Of standard error the file descriptor itself is turned, since Ray's core writes past Python.
    """
    if log is None:
        yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    _mask_file(log)  # of a driver that was killed
    _flush_errors()
    kept = _kept_errors()
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.dup2(target, 2)
        with os.fdopen(os.dup(target), "ab", buffering=0) as stream, contextlib.redirect_stdout(_Lossy(stream)):
            yield
    finally:
        _flush_errors()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(target)
        _mask_file(log)


def _mask_file(log: Path) -> None:
    """Mask what libraries wrote past Python; a log that cannot be read or written must not end a sweep."""
    with contextlib.suppress(OSError, StorageError):
        text = log.read_text(errors="surrogateescape")
        if masked(text) != text:
            write_whole(fs.LocalFileSystem(), str(log), masked(text).encode(errors="surrogateescape"))


def _flush_errors() -> None:
    with contextlib.suppress(AttributeError, OSError, ValueError):  # it may be missing, full or closed
        sys.stderr.flush()


def _kept_errors() -> int:
    """Duplicate standard error's descriptor, or open /dev/null if it is closed, lest the log take its number."""
    try:
        return os.dup(2)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)
