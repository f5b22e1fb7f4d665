"""The function that a Ray worker runs: one trial, from its specification to its end in the trial store.

Workers import this module, so it stays light: torch comes with the training of the first trial.
"""

import contextlib
import functools
import json
import math
import os
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from raysweep.core.errors import DivergedError, RaysweepError, StorageError, TrialError
from raysweep.core.messages import LONGEST, sound
from raysweep.core.points import Point
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.storage import layout
from raysweep.storage.trial_store import Claim, TrialStore
from raysweep.sweep.engine.failures import is_out_of_memory
from raysweep.sweep.engine.watchdog import Limits, Watchdog
from raysweep.sweep.guests.code import code_named
from raysweep.sweep.guests.entrypoint import enter_folder, entrypoint_points, load_entrypoint
from raysweep.sweep.guests.protection import (
    described,
    empty_command_line,
    kept_streams,
    own_streams,
    preserved_environment,
    seed_generators,
    shown_error,
)
from raysweep.sweep.plan.costs import set_threads

if TYPE_CHECKING:
    from raysweep.data.store.store import Store

Report = Callable[[int, Point], None]
Config = dict[str, str | float | None]


def run_trial(config: Config) -> None:
    """Run one trial, reporting each point to Ray Tune.

    Args:
        config: `storage` and `data`, locations; `spec`, a TrialSpec as JSON; `code`, that of the training in the
            driver (see `code.code_of`); `cpu` and `gpu`, the trial's resources;
            `inference`, whether to measure what inference costs; `keep_weights`, the points whose weights stay;
            `path`, where the driver finds an entrypoint's module; `timeout` and `stall`, limits in seconds.

    Raises:
        MemoryError: the trial ran out of memory; no other one may use this process, which may still hold it.
    """
    from ray import tune  # a trial runs without Ray too (see `execute`)

    _extend_path(str(config["path"]))
    set_threads(int(float(str(config["cpu"]))))
    spec = TrialSpec.model_validate_json(str(config["spec"]))
    store = TrialStore(str(config["storage"]))
    _check_shared(store)
    data = None if config["data"] is None else str(config["data"])
    code = None if config["code"] is None else str(config["code"])
    claim = store.begin(spec, code)
    with _guest_environment(spec):
        state = execute(
            spec,
            store,
            claim,
            lambda: points_of(
                spec,
                data,
                store.take_checkpoints(claim),
                "cuda" if config["gpu"] else "cpu",
                code,
                inference=bool(config["inference"]),
                keep_weights=str(config["keep_weights"]),
            ),
            # As text: Tune flattens mappings, and copies them several times.
            lambda index, point: tune.report({"index": index, "point": json.dumps(asdict(point))}),
            Limits(_seconds(config["timeout"]), _seconds(config["stall"])),
        )
    if state == TrialState.OUT_OF_MEMORY:
        raise MemoryError(store.record(spec.trial_id).message)


@contextlib.contextmanager
def _guest_environment(spec: TrialSpec) -> Iterator[None]:
    """Protect the process, which later trains other trials, from a user's own training."""
    if spec.entrypoint is None:
        yield
        return
    with kept_streams(), own_streams(), empty_command_line(spec.entrypoint.partition(":")[0]):
        # What its module sets on import is kept, since it is imported once: all trials see the same.
        with contextlib.suppress(RaysweepError):  # the trial raises it, too
            load_entrypoint(spec.entrypoint)
        with preserved_environment():
            enter_folder(spec.entrypoint)
            seed_generators(int(spec.trial_id, 16))
            yield


def _check_shared(store: TrialStore) -> None:
    """Refuse to work on a node that came later than the check of all nodes, and does not see the sweep's storage."""
    if store.read_bytes(layout.SWEEP) is None:
        raise TrialError(
            f"storage {store.location}: {socket.gethostname()} does not see the sweep there; mount the shared path on "
            "every node, or give a URI (s3://, gs://)"
        )


def _seconds(value: str | float | None) -> float | None:
    return None if value is None else float(value)


def execute(
    spec: TrialSpec,
    store: TrialStore,
    claim: Claim,
    source: Callable[[], Iterator[Point]],
    report: Report,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> TrialState | None:
    """Run a trial to its end and write that end; return it, None if another worker has restarted the trial.

    A trial that raises ends FAILED, one whose loss is not finite DIVERGED, one that gets no memory OUT_OF_MEMORY;
    one that exceeds a limit ends TIMED_OUT, with its process. All keep the points before the end.

    Raises:
        StorageError: its storage cannot be written to, which the driver reports; the trial resumes later.
    """
    points: list[Point] = []
    watchdog = Watchdog(limits, lambda why: store.end(claim, TrialState.TIMED_OUT, points, why))
    training = _Training(spec, source)
    try:
        while isinstance(found := training.next(), Point):
            watchdog.pause()
            if not store.holds(claim):
                return None
            points.append(found)
            report(len(points) - 1, found)  # its errors propagate: a driver that is gone is no fault of the training
            watchdog.go_on()
    finally:
        watchdog.stop()
    training.close()
    end = found
    if not points and end.state == TrialState.DONE:
        end = _End(TrialState.FAILED, "the training yielded no point; check the budgets and the entrypoint")
    return end.state if store.end(claim, end.state, points, end.message) else None


@dataclass(frozen=True)
class _End:
    state: TrialState
    message: str | None = None


class _Training:
    """A training in progress; its exceptions become ends of its trial."""

    def __init__(self, spec: TrialSpec, source: Callable[[], Iterator[Point]]) -> None:
        self._spec, self._source = spec, source
        self._points: Iterator[Point] | None = None

    def next(self) -> Point | _End:
        """Train up to the next point, or to the end.

        Raises:
            StorageError: the storage cannot be written.
        """
        try:
            self._points = self._points or self._source()
            point = next(self._points, None)
            return _End(TrialState.DONE) if point is None else _checked(self._spec, point)
        except DivergedError as error:
            return _End(TrialState.DIVERGED, shown_error(error, LONGEST).partition(": ")[2])
        except StorageError:
            raise
        except RaysweepError as error:  # says what to fix, and where
            return _End(TrialState.FAILED, shown_error(error, LONGEST))
        except Exception as error:  # noqa: BLE001 - whatever a training raises ends this trial and no other
            state = TrialState.OUT_OF_MEMORY if is_out_of_memory(error) else TrialState.FAILED
            return _End(state, described(error))

    def close(self) -> None:
        """Close the training's generator, so that it cleans up."""
        getattr(self._points, "close", lambda: None)()


def points_of(
    spec: TrialSpec,
    data: str | None,
    checkpoints: str,
    device: str,
    code: str | None = None,
    *,
    inference: bool = False,
    keep_weights: str = "last",
) -> Iterator[Point]:
    """Train a trajectory, by raysweep's own training or the entrypoint's, and yield its points."""
    _check_code(spec, code)
    structures = None if data is None else _open_once(data)
    if spec.entrypoint is not None:
        return entrypoint_points(spec, structures, checkpoints, device)
    from raysweep.training import loop
    from raysweep.training.checkpoint import (
        kept_weights,  # imports torch, which reads the number of threads from the environment
    )

    assert structures is not None
    keep = kept_weights(keep_weights)
    return loop.train(spec, structures, checkpoints=checkpoints, device=device, inference=inference, keep_weights=keep)


def _extend_path(path: str) -> None:
    """Look for modules where the driver looks too: an entrypoint's module need not be installed."""
    sys.path.extend(place for place in path.split(os.pathsep) if place and place not in sys.path)


def _check_code(spec: TrialSpec, wanted: str | None) -> None:
    """Refuse to train with code that differs from the driver's, edited meanwhile or of another version on this node."""
    found = _code_here(spec.entrypoint, spec.architecture) if wanted is not None else None
    if found != wanted:
        raise TrialError(
            f"the code of {spec.entrypoint or spec.architecture} on {socket.gethostname()} is {found}, and the sweep "
            f"began with {wanted}: it was changed since, or this node has another; run the sweep again"
        )


@functools.cache
def _code_here(entrypoint: str | None, architecture: str) -> str | None:
    """Return the code digest at this process's first import: the code that it trains with from then on."""
    return code_named(entrypoint, architecture)


@functools.lru_cache(maxsize=2)
def _open_once(location: str) -> "Store":
    from raysweep.data.store.store import open_store  # a sweep without data needs none

    return open_store(location)


def _checked(spec: TrialSpec, point: Point) -> Point:
    """Check a point, and make its texts (a device's name, say) ones that Arrow and MLflow accept."""
    if not isinstance(point, Point):
        raise TrialError(f"the training yielded a {type(point).__name__}, not a raysweep.core.points.Point")
    if point.trial_id != spec.trial_id:
        raise TrialError(f"the training yielded a point of trial {point.trial_id}; set trial_id=spec.trial_id")
    if not math.isfinite(point.loss):
        raise DivergedError(f"the loss is {point.loss} after {point.step} steps")
    texts = {name: value for name, value in asdict(point).items() if isinstance(value, str)}
    return replace(point, **{name: sound(value) for name, value in texts.items()})  # type: ignore[arg-type]
