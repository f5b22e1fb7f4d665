"""Loading and running of entrypoints (users' own trainings); their faults are reported under their name."""

import contextlib
import importlib
import inspect
import io
import os
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING

from raysweep.core.errors import RaysweepError, TrialError
from raysweep.core.points import Point
from raysweep.core.trial import TrialSpec
from raysweep.sweep.guests.protection import (
    empty_command_line,
    kept_host,
    preserved_environment,
    shown,
    shown_error,
    told,
)
from raysweep.sweep.guests.values import CheckedCost, checked_cost
from raysweep.sweep.guests.yielded import PointCheck

if TYPE_CHECKING:
    from raysweep.data.store.store import Store

_CONTRACT = "it is called as train(spec, store, *, checkpoints, device) and yields points (docs/sweep.md)"
_END = object()
_folders: dict[str, str] = {}


def load_entrypoint(entrypoint: str) -> Callable[..., object]:
    """Return the function that `package.module:function` names.

    Raises:
        RaysweepError: there is none, its module cannot be imported, or it cannot be called as a training.
    """
    module, _, name = entrypoint.partition(":")
    if module == "__main__":
        raise RaysweepError(
            f"entrypoint {entrypoint!r}: __main__ is another program in each worker; put the function into a module"
        )
    printed = io.StringIO()
    try:
        with kept_host(), empty_command_line(module), contextlib.redirect_stderr(printed):
            found = getattr(_imported(module), name)
    except (ImportError, AttributeError) as error:
        raise RaysweepError(
            f"entrypoint {entrypoint!r}: {shown_error(error)}; the module must be installed where the sweep runs, on "
            "PYTHONPATH, or in the current folder"
        ) from error
    except KeyboardInterrupt:
        raise  # of the user, or of a batch system
    except BaseException as error:
        said = [*filter(None, map(str.strip, printed.getvalue().splitlines())), ""][-2:-1]
        said = [f" ({line})" for line in said if isinstance(error, SystemExit)]
        raise RaysweepError(f"entrypoint {entrypoint!r}: importing its module {told(error)}{''.join(said)}") from error
    if printed.getvalue():
        sys.stderr.write(printed.getvalue())
    return _callable(entrypoint, found)


def _imported(module: str) -> ModuleType:
    """Import a module, and note the folder that it went to: its trainings may look for their files there."""
    before = _folder()
    found = importlib.import_module(module)
    if (after := _folder()) not in (before, None):
        _folders[module] = str(after)
    return found


def _folder() -> str | None:
    with contextlib.suppress(OSError):  # it was removed
        return os.getcwd()
    return None


def enter_folder(entrypoint: str) -> None:
    """Go to the folder to which an entrypoint's module went when it was imported, if it did."""
    folder = _folders.get(entrypoint.partition(":")[0])
    if folder is not None:
        os.chdir(folder)


def _callable(entrypoint: str, found: object) -> Callable[..., object]:
    if not callable(found):
        raise RaysweepError(f"entrypoint {entrypoint!r}: {shown(found)} is not a function; {_CONTRACT}")
    if inspect.iscoroutinefunction(found) or inspect.isasyncgenfunction(found):
        raise RaysweepError(f"entrypoint {entrypoint!r} is asynchronous; leave `async` out: {_CONTRACT}")
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return found  # written in C: its call will show
    try:
        signature.bind(None, None, checkpoints=None, device=None)
    except TypeError as error:
        raise RaysweepError(
            f"entrypoint {entrypoint!r} has the parameters {signature}: {error}; {_CONTRACT}"
        ) from error
    return found


def entrypoint_points(spec: TrialSpec, store: "Store | None", checkpoints: str, device: str) -> Iterator[Point]:
    """Yield the points of an entrypoint's training, checked, one at each budget of the trial.

    A training that continues after its last budget is ended there.

    Raises:
        TrialError: it yields something other than a point at a budget, misses one, or tries to end the process.
        DivergedError: its loss is no longer finite.
    """
    name, check, process = str(spec.entrypoint), PointCheck(spec), os.getpid()
    source: Iterator[object] | None = None
    try:
        while True:
            try:
                if source is None:
                    source = _begin(spec, store, checkpoints, device)
                value = next(source, _END)
                if os.getpid() != process:
                    os._exit(1)  # a fork of the worker by the training, which must not report anything
                if value is _END or check.complete:
                    break
                point = check.take(value)
            except Exception:
                raise
            except BaseException as error:
                if isinstance(error, SystemExit) and not error.code and check.complete:
                    break  # its way to return
                raise TrialError(f"entrypoint {name!r}: the training {told(error)}") from error
            if point is not None:
                yield point
    finally:
        with contextlib.suppress(BaseException):  # all points have arrived, whatever it does on closing
            getattr(source, "close", lambda: None)()
    check.end()


def _begin(spec: TrialSpec, store: "Store | None", checkpoints: str, device: str) -> Iterator[object]:
    train = load_entrypoint(str(spec.entrypoint))
    own = spec.model_copy(deep=True)  # a training that alters it alters nothing of ours
    returned = train(own, store, checkpoints=checkpoints, device=device)
    if inspect.iscoroutine(returned):
        returned.close()
    if isinstance(returned, dict | str | bytes) or not hasattr(returned, "__iter__"):
        raise TrialError(f"entrypoint {spec.entrypoint!r} returned {shown(returned)}, no points; {_CONTRACT}")
    try:
        points: Iterator[object] = iter(returned)
    except TypeError as error:
        raise TrialError(f"entrypoint {spec.entrypoint!r} returned {shown(returned)}: {error}; {_CONTRACT}") from error
    return points


def entrypoint_cost(spec: TrialSpec, store: "Store | None") -> CheckedCost | None:
    """Return the cost of a size as the entrypoint's `cost` states it, or None without one.

    Raises:
        RaysweepError: it cannot say so; names the entrypoint, the size and the reason.
    """
    entrypoint = str(spec.entrypoint)
    measure: Callable[[TrialSpec, Store | None], object] | None
    measure = getattr(load_entrypoint(entrypoint), "cost", None)
    if measure is None:
        return None
    place = f"entrypoint {entrypoint!r}: its cost(spec, store) for size {dict(spec.size)}"
    try:
        with preserved_environment(), empty_command_line(entrypoint.partition(":")[0]):
            enter_folder(entrypoint)
            found = measure(spec.model_copy(deep=True), store)
    except (RaysweepError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise RaysweepError(f"{place} {told(error)}") from error
    try:
        return checked_cost(found)
    except ValueError as error:
        raise RaysweepError(
            f"{place} returned {shown(found)}, {error}; give an object with params, flops_per_atom and "
            "seconds_per_atom, or leave `cost` out"
        ) from error
