"""Join the Ray cluster of a sweep, or start a local one, and check that it can run the sweep."""

import contextlib
import logging
import os
import socket
import time
from collections.abc import Iterator

from raysweep.core.errors import ClusterError
from raysweep.core.io.files import absolute
from raysweep.core.io.temporary import TemporaryFolder, temporary_folder
from raysweep.sweep.cluster.capacity import ErrorMaker, check_fits, fits, slots
from raysweep.sweep.cluster.driver.signals import interruptible
from raysweep.sweep.cluster.environment import wanted_of_nodes
from raysweep.sweep.cluster.node_checks import require_nodes
from raysweep.sweep.cluster.nodes import alive_nodes, all_here
from raysweep.sweep.cluster.ray.home import private_token, ray_root, require_room
from raysweep.sweep.cluster.ray.internals import session_folder
from raysweep.sweep.cluster.ray.services import kill_services
from raysweep.sweep.cluster.ray.variables import ray_variables
from raysweep.sweep.cluster.watch import CORE_SECONDS, ClusterWatch, watching
from raysweep.sweep.space.running import Resources
from raysweep.sweep.space.space import Space

REACH_SECONDS = 5.0
START_SECONDS = 120
"""That the first service of a local Ray may take to start; Ray's own 30 s are too few on a busy machine."""
ATTEMPTS = 3
"""How often a local Ray is started: on a busy machine its agents miss the 15 s that Ray gives them, which is fixed."""
TIMED_OUT_SECONDS = 10.0
"""A start that fails later than this ran into one of Ray's time limits; an earlier failure would repeat itself."""
logger = logging.getLogger("raysweep.cluster")


@contextlib.contextmanager
def cluster(space: Space) -> Iterator[ClusterWatch]:
    """Join the cluster of RAY_ADDRESS, or one that is joined already, or start a local one that ends with the block.

    Yields:
        The watch that knows whether the cluster, or a host of it, is lost.

    Raises:
        SpaceError: no node of the cluster can hold a trial.
        ClusterError: a node has a different environment, or does not reach the storage or the data.
        ClusterLostError: the head, Ray on this host, or the last host for a trial died.
    """
    with joined(os.environ.get("RAY_ADDRESS") or "local") as watch:
        nodes = alive_nodes()
        check_fits(space.resources, [node.resources for node in nodes], space.error)
        if not all_here(nodes):
            manifest = [f"{absolute(space.data.store)}/manifest.json"] if space.data else []
            require_nodes(absolute(space.storage), manifest, wanted_of_nodes())
        watch.need(lambda hosts: fits(space.resources, hosts))
        yield watch


def check_before_data(space: Space) -> None:
    """Check, before minutes of making data, that the sweep can run afterwards.

    The nodes of RAY_ADDRESS must reach the storage and the place of the store; without RAY_ADDRESS, Ray must be able
    to start here.

    Raises:
        ClusterError: a node does not reach them or has a different environment, or Ray cannot start.
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


def cluster_slots(resources: Resources, error: ErrorMaker) -> int:
    """Count the trials that can run at once on the nodes of RAY_ADDRESS.

    Raises:
        SpaceError: none fits anywhere; names the missing resource.
    """
    with joined(os.environ["RAY_ADDRESS"]):
        nodes = [node.resources for node in alive_nodes()]
        check_fits(resources, nodes, error)
        return slots(resources, nodes)


@contextlib.contextmanager
def joined(address: str) -> Iterator[ClusterWatch]:
    """Join the Ray cluster at an address (`local`: start one that ends with the block), unless one is joined already.

    Raises:
        ClusterError: there is no cluster at the address, or Ray cannot start on this machine.
        ClusterLostError: its head, or Ray on this host, died meanwhile.
    """
    with ray_variables(), interruptible(), contextlib.ExitStack() as stack:
        watch = stack.enter_context(watching(address))
        import ray  # a finished sweep needs no Ray

        if ray.is_initialized():
            watch.joined(ray.get_runtime_context().get_node_id())
            yield watch
            return
        own = stack.enter_context(temporary_folder("ray")) if address == "local" else None
        _join(address)
        with _left_in_order(watch, own):
            folder = session_folder()
            if own is not None and folder is not None:  # Ray itself never removes its folder
                own.adopt(folder)
            watch.joined(ray.get_runtime_context().get_node_id())
            with interruptible():  # again, since Ray has installed its own handler for SIGTERM
                yield watch


@contextlib.contextmanager
def _left_in_order(watch: ClusterWatch, own: TemporaryFolder | None) -> Iterator[None]:
    """Leave the cluster after the block; keep the logs of a local Ray where they explain an error."""
    import ray

    try:
        yield
    except Exception:
        if own is not None:
            own.release()  # its logs may explain the error
        raise
    finally:
        watch.left()
        if watch.lost:
            if own is not None:
                own.release()  # the error message names a log in it
            kill_services()  # `ray.shutdown` would ask them, and wait
        ray.shutdown()


def _join(address: str) -> None:
    local = address == "local"
    if local:
        require_room()
        # Ray would start an idle worker for each core, which no trial uses: Tune starts its own workers.
        os.environ.setdefault("RAY_prestart_worker_first_driver", "0")
        os.environ.setdefault("RAY_gcs_server_port_wait_time_s", str(START_SECONDS))
    else:
        os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", str(CORE_SECONDS))
    try:
        _reach(address)  # Ray itself tries for minutes
        with private_token() if local else contextlib.nullcontext():
            _start(address) if local else _initialize(address)
    except Exception as error:  # Ray raises even a plain Exception
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        if local:
            raise ClusterError(
                f"Ray cannot start here: {reason}. `raysweep doctor` may find the cause; Ray's logs are in {ray_root()}"
            ) from error
        raise ClusterError(
            f"no Ray cluster at {address!r} ({reason}). Start one (`ray start --head`), or name another address "
            "(RAY_ADDRESS)"
        ) from error


def _start(address: str) -> None:
    """Start a local Ray, again where it runs into a time limit of its own."""
    import ray

    for attempt in range(1, ATTEMPTS + 1):
        began = time.monotonic()
        try:
            _initialize(address)
        except Exception as error:  # Ray raises even a plain Exception
            if attempt == ATTEMPTS or time.monotonic() - began < TIMED_OUT_SECONDS:
                raise
            logger.warning("Ray did not start in time (%s); starting it again", next(iter(str(error).splitlines()), ""))
            ray.shutdown()
        else:
            return


def _initialize(address: str) -> None:
    import ray

    ray.init(
        address=address,
        include_dashboard=False if address == "local" else None,
        log_to_driver=False,
        logging_level=logging.ERROR,
        configure_logging=True,
    )


def _reach(address: str) -> None:
    """Connect once to HOST:PORT or ray://HOST:PORT; `auto` and `local` are for Ray to resolve."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_SECONDS).close()
