"""A training whose every step depends on the one before, so that a step lost, doubled or altered shows in the points.

It keeps the contract of an entrypoint on any file system. Each step is noted, with the host that made it, in the folder
`CHAIN_NOTES`, which the tests read, and takes `CHAIN_SLOWER` times as long on a host that has it. A trial saves a
checkpoint after each step and gives a point after every `EVERY`. Where that folder has a file `hosts`, the first step
of a trial waits until as many hosts have made one: a second host may take its time to start.
"""

import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from raysweep.core.io.files import open_location, read_whole, write_whole
from raysweep.core.points import Point
from raysweep.core.trial import TrialSpec
from raysweep.sweep.plan.costs import Cost

MEETING_SECONDS = 150.0
EVERY = 4
"""Steps from one point to the next, where the size has no `every`."""


def train(spec: TrialSpec, store: object, *, checkpoints: str | None, device: str | None) -> Iterator[Point]:
    done, link = _newest(checkpoints)
    for index, budget in enumerate(spec.data_budgets):
        for step in range(_every(spec) * index, _every(spec) * (index + 1)):
            if step >= done:
                time.sleep(float(spec.size.get("nap", 0)) * float(os.environ.get("CHAIN_SLOWER", "1")))
                link = _next(spec, link, step)
                _note(spec, step)
                _meet(step)
                _save(checkpoints, step + 1, link)
        yield _point(spec, index, budget, _link_at(spec, _every(spec) * (index + 1)))
    # What a checkpoint carried over is what a run without a break has come to, or it is no checkpoint of this trial.
    assert link == _link_at(spec, _every(spec) * len(spec.data_budgets)), "a checkpoint held another chain"


def _cost(spec: TrialSpec, store: object) -> Cost:
    return Cost(_params(spec), 6.0 * _params(spec), 1e-6 * _params(spec))


train.cost = _cost


def expected(spec: TrialSpec) -> list[Point]:
    """Return the points of a run that nothing ever touched."""
    return [
        _point(spec, i, budget, _link_at(spec, _every(spec) * (i + 1))) for i, budget in enumerate(spec.data_budgets)
    ]


def notes(folder: Path) -> list[dict[str, object]]:
    """Return the steps that were made, in all processes of all hosts, those made twice listed twice."""
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


def _every(spec: TrialSpec) -> int:
    return int(spec.size.get("every", EVERY))


def _params(spec: TrialSpec) -> int:
    return int(100 * float(spec.size["width"]) ** 2)


def _next(spec: TrialSpec, link: str, step: int) -> str:
    return hashlib.sha256(f"{spec.trial_id} {link} {step}".encode()).hexdigest()


def _link_at(spec: TrialSpec, steps: int) -> str:
    link = ""
    for step in range(steps):
        link = _next(spec, link, step)
    return link


def _point(spec: TrialSpec, index: int, budget: float, link: str) -> Point:
    clean = 0.1 + 3 * _params(spec) ** -0.4 + 20 * budget**-0.4
    return Point(
        trial_id=spec.trial_id,
        architecture=spec.architecture,
        size=json.dumps(spec.size, sort_keys=True),
        seed=spec.seed,
        learning_rate=spec.learning_rate,
        step=_every(spec) * (index + 1),
        budget=budget,
        budget_kind="data",
        params=_params(spec),
        data=budget,
        flops=6.0 * _params(spec) * budget,
        loss=clean * (1 + 0.01 * int(link[:8], 16) / 0xFFFFFFFF),
    )


def _newest(checkpoints: str | None) -> tuple[int, str]:
    if checkpoints is None:
        return 0, ""
    filesystem, folder = open_location(checkpoints)
    content = read_whole(filesystem, f"{folder}/chain.json")
    found = json.loads(content) if content else {"done": 0, "link": ""}
    return int(found["done"]), str(found["link"])


def _save(checkpoints: str | None, done: int, link: str) -> None:
    if checkpoints is not None:
        filesystem, folder = open_location(checkpoints)
        write_whole(filesystem, f"{folder}/chain.json", json.dumps({"done": done, "link": link}).encode())


def _meet(step: int) -> None:
    wanted = Path(os.environ.get("CHAIN_NOTES", "."), "hosts")
    until = time.monotonic() + MEETING_SECONDS
    while step == 0 and wanted.exists() and time.monotonic() < until:
        if len({row["host"] for row in notes(wanted.parent)}) >= int(wanted.read_text()):
            return
        time.sleep(0.1)


def _note(spec: TrialSpec, step: int) -> None:
    folder = os.environ.get("CHAIN_NOTES")
    if folder:
        import ray.util  # in a worker it is there already

        row = {"trial": spec.trial_id, "step": step, "process": os.getpid(), "at": time.time()}
        row |= {"host": ray.util.get_node_ip_address() if ray.is_initialized() else socket.gethostname()}
        with Path(folder, f"{os.getpid()}.jsonl").open("a") as stream:
            stream.write(json.dumps(row) + "\n")
