"""Trainings that misbehave, each in a way of its own, which a size's knob `how` names."""

import argparse
import asyncio
import dataclasses
import fractions
import math
import os
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal

import numpy as np
import toy_trials

from raysweep.core.errors import DivergedError
from raysweep.core.points import Point
from raysweep.core.trial import TrialSpec

Source = Iterator[object]


def point(spec: TrialSpec, index: int, **changes: object) -> Point:
    """Return the point that the toy training yields at a data budget, with other values in it."""
    plain = toy_trials._point(spec, index, spec.data_budgets[index])
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def train(spec: TrialSpec, store: object, *, checkpoints: str | None, device: str | None) -> object:
    return WAYS[str(spec.size["how"])](spec)


def chatty(spec: TrialSpec, store: object, *, checkpoints: str | None, device: str | None) -> Iterator[Point]:
    """Train as the toy does, and yield three further points on the way to each budget."""
    before = 0.0
    for index, budget in enumerate(spec.data_budgets):
        for share in (0.25, 0.5, 0.75):
            data = before + share * (budget - before)
            flops = 6.0 * toy_trials.params(spec) * data
            yield point(spec, index, budget=data, data=data, flops=flops, loss=toy_trials.loss_at(spec, data))
        yield point(spec, index)
        before = budget


def second(**changes: object) -> Callable[[TrialSpec], Source]:
    """Return a training whose second point has other values."""

    def source(spec: TrialSpec) -> Source:
        yield point(spec, 0)
        yield point(spec, 1, **changes)
        yield point(spec, 2)

    return source


def without(field: str) -> Callable[[TrialSpec], Source]:
    """Return a training whose second point was never given one of its fields."""

    def source(spec: TrialSpec) -> Source:
        yield point(spec, 0)
        bare = point(spec, 1)
        del bare.__dict__[field]
        yield bare
        yield point(spec, 2)

    return source


def second_is(value: object) -> Callable[[TrialSpec], Source]:
    """Return a training whose second point is something else."""

    def source(spec: TrialSpec) -> Source:
        yield point(spec, 0)
        yield value
        yield point(spec, 2)

    return source


def second_raises(error: Callable[[], BaseException]) -> Callable[[TrialSpec], Source]:
    def source(spec: TrialSpec) -> Source:
        yield point(spec, 0)
        raise error()

    return source


def in_order(*order: int) -> Callable[[TrialSpec], Source]:
    return lambda spec: (point(spec, index) for index in order)


def all_with(change: Callable[[Point], Point]) -> Callable[[TrialSpec], Source]:
    return lambda spec: (change(point(spec, index)) for index in range(3))


def numbers_as(kind: Callable[[float], object]) -> Callable[[Point], Point]:
    """Return what puts all numbers of a point into other types."""
    fields = ("budget", "data", "flops", "loss")
    return lambda p: dataclasses.replace(p, **{f: kind(getattr(p, f)) for f in fields})  # type: ignore[arg-type]


class Exits:
    """A number that ends the process when it is read."""

    def __float__(self) -> float:
        sys.exit(5)

    def __repr__(self) -> str:
        raise ValueError


class Broken:
    """No source of points, though it looks like one."""

    def __iter__(self) -> int:
        return 5


class MutePoint(Point):
    """A point of one's own."""

    @property
    def on_plateau(self) -> bool:
        raise AssertionError


class MuteError(RuntimeError):
    def __str__(self) -> str:
        raise ValueError("no text")


class StuckError(Exception):
    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


class OwnEndError(BaseException):
    """No Exception."""


def doing(action: Callable[[], object]) -> Callable[[TrialSpec], Source]:
    """Return a training that does something to its process before its second point."""

    def source(spec: TrialSpec) -> Source:
        yield point(spec, 0)
        action()
        yield point(spec, 1)
        yield point(spec, 2)

    return source


def finally_doing(action: Callable[[], object]) -> Callable[[TrialSpec], Source]:
    def source(spec: TrialSpec) -> Source:
        for index in range(3):
            yield point(spec, index)
        action()

    return source


def leave_folder() -> None:
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    os.rmdir(folder)


def close_streams() -> None:
    print("before")
    sys.stdout.close()
    sys.stderr.close()
    os.close(1)
    os.close(2)


def fail_in_thread() -> None:
    thread = threading.Thread(target=sys.exit, args=(3,))
    thread.start()
    thread.join()


def print_much() -> None:
    for _ in range(100):
        print("x" * 100_000 + "\udce9")


def fork() -> None:
    child = os.fork()
    if child:  # the copy goes on as if it were the training
        os.waitpid(child, 0)


def parse(*required: str) -> None:
    parser = argparse.ArgumentParser()
    for name in required:
        parser.add_argument(name, required=True)
    parser.parse_args()


def recurse() -> None:
    recurse()


def alter(spec: TrialSpec) -> Source:
    yield point(spec, 0)
    spec.size["width"] = 99
    yield point(spec, 1, trial_id=spec.trial_id)


def endless(spec: TrialSpec) -> Source:
    try:
        yield from toy_trials.train(spec, None, checkpoints=None, device=None)
        while True:
            yield point(spec, 2)
    except GeneratorExit:
        yield point(spec, 2)  # Python calls that an error


async def coroutine(spec: TrialSpec) -> list[Point]:
    await asyncio.sleep(0)
    return [point(spec, 0)]


async def asynchronous(spec: TrialSpec) -> AsyncIterator[Point]:
    yield point(spec, 0)


def float32_budgets(p: Point) -> Point:
    return dataclasses.replace(p, budget=float(np.float32(p.budget * (1 + 1e-7))))


WAYS: dict[str, Callable[[TrialSpec], object]] = {
    "well": in_order(0, 1, 2),
    # What is no point.
    "none": second_is(None),
    "mapping": second_is({"loss": 0.1}),
    "text": second_is("loss=0.1"),
    "number": second_is(0.1),
    "array": second_is(np.zeros(3)),
    "points": second_is([1, 2]),
    # Numbers that are none.
    "loss_text": second(loss="0.3"),
    "loss_none": second(loss=None),
    "loss_complex": second(loss=0.3 + 0j),
    "loss_array": second(loss=np.ones(3)),
    "loss_bool": second(loss=True),
    "loss_masked": second(loss=np.ma.masked),
    "loss_masked_array": second(loss=np.ma.array(0.3, mask=True)),
    "loss_absent": without("loss"),
    "trial_id_absent": without("trial_id"),
    "loss_exits": second(loss=Exits()),
    "metric_nan": second(energy_mae=math.nan),
    "seconds_inf": second(seconds=math.inf),
    "seconds_negative": second(seconds=-1.0),
    "flops_negative": second(flops=-1.0),
    "flops_falls": second(flops=1.0),
    "flops_zero": second(flops=0),
    "params_half": second(params=6400.5),
    "params_change": second(params=6401),
    "params_zero": second(params=0),
    "params_endless": second(params=10**400),
    "memory_wide": second(peak_memory=2**70),
    "step_falls": second(step=0),
    "unique_above": second(unique_data=1000.0),
    "device_object": second(device=object()),
    "device_long": second(device="x" * 10_000),
    "other_trial": second(trial_id="f" * 16),
    "spec_altered": alter,
    # Budgets.
    "kind": second(budget_kind="tokens"),
    "budget_text": second(budget="200"),
    "budget_none": second(budget=None),
    "off_data": second(data=260.0, flops=6.0 * 6400 * 260),
    "off_short": second(data=140.0, flops=6.0 * 6400 * 140),
    "off_budget": all_with(lambda p: dataclasses.replace(p, budget=1.3 * p.budget)),
    "off_both": all_with(
        lambda p: dataclasses.replace(p, budget=1.3 * p.budget, data=1.3 * p.data, flops=1.3 * p.flops)
    ),
    "reversed": in_order(2, 1, 0),
    "skips": in_order(0, 2),
    "twice": in_order(0, 1, 1, 2),
    "ends_early": in_order(0, 1),
    "no_point": in_order(),
    # What is no source of points.
    "returns_none": lambda spec: None,
    "returns_point": lambda spec: point(spec, 0),
    "returns_broken": lambda spec: Broken(),
    "returns_text": lambda spec: "done",
    "coroutine": coroutine,
    "asynchronous": asynchronous,
    # Errors.
    "exit": second_raises(lambda: SystemExit(3)),
    "exit_early": second_raises(SystemExit),
    "exit_text": second_raises(lambda: SystemExit("bye \udce9")),
    "argparse": doing(lambda: parse("--data")),
    "interrupt": second_raises(KeyboardInterrupt),
    "generator_exit": second_raises(GeneratorExit),
    "own_end": second_raises(lambda: OwnEndError("over")),
    "mute": second_raises(MuteError),
    "stuck": second_raises(StuckError),
    "surrogate": second_raises(lambda: ValueError("caf\udce9")),
    "long": second_raises(lambda: ValueError("x" * 10_000_000)),
    "stop": second_raises(StopIteration),
    "recursion": doing(recurse),
    "died": doing(lambda: os._exit(7)),
    # The loss left the finite numbers.
    "loss_nan": second(loss=math.nan, energy_mae=math.nan),
    "loss_inf": second(loss=np.float32(math.inf)),
    "diverged": second_raises(lambda: DivergedError("inf at caf\udce9")),
    # Right values in other clothes.
    "arrays": all_with(numbers_as(np.array)),
    "float32": all_with(float32_budgets),
    "decimals": all_with(numbers_as(Decimal)),
    "fractions": all_with(numbers_as(fractions.Fraction)),
    "whole_floats": all_with(lambda p: dataclasses.replace(p, params=float(p.params), step=np.int16(p.step))),
    "own_point": all_with(lambda p: MutePoint(**dataclasses.asdict(p))),
    "other_labels": all_with(lambda p: dataclasses.replace(p, architecture="mine", size="{}", seed=9)),
    "list": lambda spec: [point(spec, index) for index in range(3)],
    "chatty": lambda spec: chatty(spec, None, checkpoints=None, device=None),
    "endless": endless,
    "cleanup": finally_doing(lambda: sys.exit(0)),
    "argparse_free": doing(parse),
    # Changes to its process.
    "folder": doing(leave_folder),
    "streams": doing(close_streams),
    "environment": doing(os.environ.clear),
    "thread": doing(fail_in_thread),
    "prints": doing(print_much),
    "fork": doing(fork),
}
