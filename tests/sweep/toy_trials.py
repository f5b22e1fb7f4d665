"""A training that costs nothing: an analytic loss surface with noise by seed, which keeps the contract of `train`."""

import dataclasses
import hashlib
import json
import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from raysweep.core.errors import DivergedError
from raysweep.core.points import Point
from raysweep.core.trial import TrialSpec
from raysweep.sweep.plan.costs import Cost

BEST_RATE = 0.02


def params(spec: TrialSpec) -> int:
    return int(100 * float(spec.size["width"]) ** 2)


def loss_at(spec: TrialSpec, data: float) -> float:
    """L = 0.1 + 3 N^-0.4 + 20 D^-0.4, times a parabola in log rate, with 1 % noise that depends on the spec alone."""
    clean = 0.1 + 3 * params(spec) ** -0.4 + 20 * data**-0.4
    best = BEST_RATE * (float(spec.size["width"]) / 8) ** -float(spec.size.get("power", 0))
    best *= (data / 100) ** -float(spec.size.get("drift", 0))
    clean *= 1 + 0.2 * math.log(spec.learning_rate / best) ** 2
    clean *= float(spec.size.get("factor", 1))
    key = f"{spec.architecture}{spec.size}{spec.learning_rate}{spec.seed}{data}".encode()
    noise = int(hashlib.sha256(key).hexdigest()[:8], 16) / 0xFFFFFFFF - 0.5
    return clean * (1 + 0.01 * noise)


def train(spec: TrialSpec, store: object, *, checkpoints: str | None, device: str | None) -> Iterator[Point]:
    done = _read(checkpoints)
    if checkpoints:  # for tests that kill it
        Path(checkpoints).mkdir(parents=True, exist_ok=True)
        Path(checkpoints, "process.txt").write_text(str(os.getpid()))
        _note_what_is_held(checkpoints)
    for index, budget in enumerate(spec.data_budgets):
        if index >= done:
            _misbehave(spec, index, checkpoints)
            time.sleep(float(spec.size.get("nap", 0)))
            while Path(str(spec.size.get("while", ""))).is_file():  # a test holds it until it has seen what it wants
                time.sleep(0.05)
            _note(checkpoints, index)
            _write(checkpoints, index + 1)
        yield _point(spec, index, budget)


def _cost(spec: TrialSpec, store: object) -> Cost:
    return Cost(params(spec), 6.0 * params(spec), 1e-6 * params(spec))


train.cost = _cost


def on_a_gpu(spec: TrialSpec, store: object, *, checkpoints: str | None, device: str | None) -> Iterator[Point]:
    """Train as above; a GPU would have room for three of the smallest size, and for one of any other."""
    yield from train(spec, store, checkpoints=checkpoints, device=device)


def _cost_on_a_gpu(spec: TrialSpec, store: object) -> Cost:
    return dataclasses.replace(
        _cost(spec, store), peak_memory=int(spec.size["width"]) * 10**9, device_memory=40 * 10**9
    )


on_a_gpu.cost = _cost_on_a_gpu


def _point(spec: TrialSpec, index: int, budget: float) -> Point:
    return Point(
        trial_id=spec.trial_id,
        architecture=spec.architecture,
        size=json.dumps(spec.size, sort_keys=True),
        seed=spec.seed,
        learning_rate=spec.learning_rate,
        step=index + 1,
        budget=budget,
        budget_kind="data",
        params=params(spec),
        data=budget,
        flops=6.0 * params(spec) * budget,
        loss=math.nan if spec.size.get("how") == "nan" and index == 1 else loss_at(spec, budget),
    )


def _misbehave(spec: TrialSpec, index: int, checkpoints: str | None) -> None:
    how = spec.size.get("how", "well")
    if (index == 1 and how == "raise") or how == "broken":
        raise ValueError("a bug in the training")
    if index == 1 and how == "diverge":
        raise DivergedError("the loss is inf after 2 steps")
    if index == 1 and how == "memory":
        raise MemoryError("42 GiB")
    if index == 1 and how == "hang":
        time.sleep(3600)
    if index == 1 and how == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if index == 1 and how == "exit":
        os._exit(7)
    if index == 1 and how == "exit-once" and not Path(str(checkpoints), "died").exists():
        Path(str(checkpoints), "died").touch()
        os._exit(7)


def _read(checkpoints: str | None) -> int:
    path = Path(checkpoints or ".") / "toy.json"
    return int(json.loads(path.read_text())["done"]) if checkpoints and path.exists() else 0


def _write(checkpoints: str | None, done: int) -> None:
    if checkpoints:
        Path(checkpoints).mkdir(parents=True, exist_ok=True)
        Path(checkpoints, "new").write_text(json.dumps({"done": done}))
        Path(checkpoints, "new").replace(Path(checkpoints, "toy.json"))


def _note_what_is_held(checkpoints: str) -> None:
    ray = sys.modules.get("ray")
    # Only a worker holds something: tests also train in their own process, which may have joined Ray.
    if ray is not None and ray.is_initialized() and ray.get_runtime_context().get_actor_id() is not None:
        held = ray.get_runtime_context().get_assigned_resources()
        Path(checkpoints, "held.json").write_text(json.dumps(held))


def _note(checkpoints: str | None, index: int) -> None:
    """Write down that the point was worked out, so that tests can count the work that was done twice."""
    if checkpoints:
        Path(checkpoints).mkdir(parents=True, exist_ok=True)
        with Path(checkpoints, "worked.txt").open("a") as stream:
            stream.write(f"{index}\n")


def costless(spec: TrialSpec, store: object, *, checkpoints: str | None, device: str | None) -> Iterator[Point]:
    """Train as above; nothing says what that costs."""
    yield from train(spec, store, checkpoints=checkpoints, device=device)


def at_budgets(spec: TrialSpec, store: object, *, checkpoints: str | None, device: str | None) -> Iterator[Point]:
    """Train as above, and yield a point at each compute budget that is reached, too."""
    per_atom = 6.0 * params(spec)
    stops = [(data, "data", data) for data in spec.data_budgets]
    most = max(spec.data_budgets, default=float(spec.structures))
    stops += [(flops / per_atom, "flops", flops) for flops in spec.flops_budgets if flops <= per_atom * most]
    for index, (data, kind, budget) in enumerate(sorted(stops)):
        point = _point(spec, index, data)
        yield dataclasses.replace(point, budget=budget, budget_kind=kind)


at_budgets.cost = _cost
