"""Checkpoints: tensors in safetensors, all else in JSON, written whole or not at all, never a pickle.

A checkpoint of step n is two files, `step-n.safetensors` and `step-n.json`. The JSON is written last and holds the
digest of the tensors and of itself, so a pair damaged by a crash, a full disk or a flipped bit is detected and the
previous pair is used. The two newest are kept, and the one at the last point. The JSON carries the points up to its
step: the two can never disagree. Pairs `point-n` hold the weights of points alone (see `save_weights`).
"""

import contextlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

import torch
from pyarrow import fs
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from raysweep.core.errors import TrialError
from raysweep.core.hashing import canonical_json, digest
from raysweep.core.io.files import list_folder, open_location, read_whole, write_whole
from raysweep.core.io.retries import with_retries
from raysweep.core.points import Point

KEPT = 2
EVALUATED = "evaluated"
"""Among a checkpoint's numbers: the step of the last one at a point, and the number of points of that step."""
STEP, POINT = "step", "point"
"""Beginnings of the names of checkpoints, and of weights of points."""
KeptWeights = Literal["last", "best", "all"]
"""The points of a trajectory whose weights stay: the last, that and the one of the lowest loss, or all."""
_KEPT_WEIGHTS: dict[str, KeptWeights] = {"last": "last", "best": "best", "all": "all"}
_PARTS = ("model.", "kept.")
"""Beginnings of the names of tensors that belong to the network, not to its optimizer."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The state of a trajectory after `step` optimizer steps, those of all branches counted.

    Attributes:
        trial_id: the trajectory that it belongs to.
        step: optimizer steps taken; ascending from one checkpoint to the next.
        tensors: weights and optimizer state by name.
        numbers: position in the data, counters, optimizer scalars: what JSON represents exactly.
        points: all points up to this step, in order.
    """

    trial_id: str
    step: int
    tensors: Mapping[str, torch.Tensor]
    numbers: Mapping[str, object]
    points: tuple[Point, ...] = field(default=())


def kept_weights(name: str) -> KeptWeights:
    """The points whose weights stay, by name."""
    return _KEPT_WEIGHTS[name]


def save(location: str, checkpoint: Checkpoint) -> None:
    """Write a checkpoint into the folder `location` and remove all but the newest two and the one at the last point."""
    filesystem, folder = open_location(location)
    _write(filesystem, folder, STEP, checkpoint)
    for step in _steps(filesystem, folder, STEP)[:-KEPT]:
        if step != _evaluated(checkpoint)[0]:
            _remove_pair(filesystem, folder, STEP, step)


def save_weights(location: str, checkpoint: Checkpoint, keep: KeptWeights) -> None:
    """Write the weights of a checkpoint at a point for good, if they are to be kept.

    Args:
        location: the folder that `save` writes to.
        checkpoint: at a point, the last of its points.
        keep: which ones; `last` needs no file besides the checkpoint. With `best` that of an earlier point is removed.
    """
    here = checkpoint.points[-_evaluated(checkpoint)[1] :]
    if keep == "last" or (keep == "best" and min(p.loss for p in here) > min(p.loss for p in checkpoint.points)):
        return
    filesystem, folder = open_location(location)
    tensors = {name: value for name, value in checkpoint.tensors.items() if name.startswith(_PARTS)}
    numbers = {"kept": checkpoint.numbers.get("kept", {}), EVALUATED: [checkpoint.step, len(here)]}
    _write(filesystem, folder, POINT, replace(checkpoint, tensors=tensors, numbers=numbers, points=here))
    if keep == "best":
        for step in _steps(filesystem, folder, POINT):
            if step != checkpoint.step:
                _remove_pair(filesystem, folder, POINT, step)


def evaluated(location: str, trial_id: str) -> list[Checkpoint]:
    """Read the weights of the points of a trial that are kept, in the order of training.

    Their `points` are those that were taken with the weights; damaged files are passed over.
    """
    filesystem, folder = open_location(location)
    found: dict[int, Checkpoint] = {}
    for kind in (STEP, POINT):
        for step in _steps(filesystem, folder, kind):
            try:
                read = _read(filesystem, f"{folder}/{kind}-{step:012d}", trial_id)
            except TrialError:
                continue
            at, count = _evaluated(read)
            if at == step:
                tensors = {name: value for name, value in read.tensors.items() if name.startswith(_PARTS)}
                found[step] = replace(read, tensors=tensors, points=read.points[-count:])
    return [found[step] for step in sorted(found)]


def _evaluated(checkpoint: Checkpoint) -> tuple[int | None, int]:
    """The step of the last checkpoint at a point, None before the first, and the number of points of that step."""
    match checkpoint.numbers.get(EVALUATED):
        case [int(step), int(count)]:
            return step, count
    return None, 0


def _write(filesystem: fs.FileSystem, folder: str, kind: str, checkpoint: Checkpoint) -> None:
    blob = save_tensors({name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()})
    body = {
        "trial_id": checkpoint.trial_id,
        "step": checkpoint.step,
        "numbers": dict(checkpoint.numbers),
        "points": [asdict(point) for point in checkpoint.points],
        "tensors_sha256": digest(blob),
    }
    text = canonical_json(body, spaced=True)
    name = f"{folder}/{kind}-{checkpoint.step:012d}"
    write_whole(filesystem, f"{name}.safetensors", blob)
    write_whole(filesystem, f"{name}.json", json.dumps({"sha256": digest(text.encode()), "body": text}).encode())


def newest(location: str, trial_id: str) -> tuple[Checkpoint | None, list[str]]:
    """Read the newest intact checkpoint of a trial; also a sentence about each newer one that was skipped.

    Args:
        location: the folder that `save` writes to.
        trial_id: checkpoints of any other trajectory are skipped.
    """
    filesystem, folder = open_location(location)
    skipped: list[str] = []
    for step in reversed(_steps(filesystem, folder, STEP)):
        try:
            return _read(filesystem, f"{folder}/{STEP}-{step:012d}", trial_id), skipped
        except TrialError as error:
            skipped.append(str(error))
    return None, skipped


def _steps(filesystem: fs.FileSystem, folder: str, kind: str) -> list[int]:
    name = re.compile(rf"{kind}-(\d{{12}})\.json")
    matches = (name.fullmatch(info.base_name) for info in list_folder(filesystem, folder))
    return sorted(int(match[1]) for match in matches if match)


def _remove_pair(filesystem: fs.FileSystem, folder: str, kind: str, step: int) -> None:
    for suffix in ("json", "safetensors"):
        _remove(filesystem, f"{folder}/{kind}-{step:012d}.{suffix}")


def _remove(filesystem: fs.FileSystem, path: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # an earlier try removed it, and its reply was lost
        with_retries(filesystem, path, lambda: filesystem.delete_file(path))


def _read(filesystem: fs.FileSystem, name: str, trial_id: str) -> Checkpoint:
    envelope = read_whole(filesystem, f"{name}.json") or b""
    blob = read_whole(filesystem, f"{name}.safetensors") or b""
    try:
        parsed = json.loads(envelope)
        text = parsed["body"]
        if digest(text.encode()) != parsed["sha256"]:
            raise TrialError(f"checkpoint {name}.json: its digest does not match its content; an older one is used.")
        body = json.loads(text)
        points = tuple(Point(**point) for point in body["points"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrialError(f"checkpoint {name}.json is torn ({error}); an older one is used.") from error
    if digest(blob) != body["tensors_sha256"]:
        raise TrialError(f"checkpoint {name}.safetensors: its digest does not match; an older one is used.")
    if body["trial_id"] != trial_id:
        raise TrialError(
            f"checkpoint {name}.json belongs to trial {body['trial_id']}, not to {trial_id}; it is ignored."
        )
    assert all(math.isfinite(point.data) for point in points)
    return Checkpoint(
        trial_id=trial_id,
        step=int(body["step"]),
        tensors=load_tensors(blob),
        numbers=body["numbers"],
        points=points,
    )
