"""Checkpoints: tensors in safetensors, all else in JSON, written whole or not at all, never a pickle.

A checkpoint of step n is two files, `step-n.safetensors` and `step-n.json`. The JSON is written last and holds the
digest of the tensors and of itself, so a pair damaged by a crash, a full disk or a flipped bit is detected and the
previous pair is used. The two newest are kept. The JSON carries the points up to its step: the two can never disagree.
"""

import contextlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

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
_JSON_NAME = re.compile(r"step-(\d{12})\.json")


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


def save(location: str, checkpoint: Checkpoint) -> None:
    """Write a checkpoint into the folder `location` and remove all but the newest two."""
    filesystem, folder = open_location(location)
    blob = save_tensors({name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()})
    body = {
        "trial_id": checkpoint.trial_id,
        "step": checkpoint.step,
        "numbers": dict(checkpoint.numbers),
        "points": [asdict(point) for point in checkpoint.points],
        "tensors_sha256": digest(blob),
    }
    text = canonical_json(body, spaced=True)
    name = f"{folder}/step-{checkpoint.step:012d}"
    write_whole(filesystem, f"{name}.safetensors", blob)
    write_whole(filesystem, f"{name}.json", json.dumps({"sha256": digest(text.encode()), "body": text}).encode())
    for step in _steps(filesystem, folder)[:-KEPT]:
        for suffix in ("json", "safetensors"):
            _remove(filesystem, f"{folder}/step-{step:012d}.{suffix}")


def newest(location: str, trial_id: str) -> tuple[Checkpoint | None, list[str]]:
    """Read the newest intact checkpoint of a trial; also a sentence about each newer one that was skipped.

    Args:
        location: the folder that `save` writes to.
        trial_id: checkpoints of any other trajectory are skipped.
    """
    filesystem, folder = open_location(location)
    skipped: list[str] = []
    for step in reversed(_steps(filesystem, folder)):
        try:
            return _read(filesystem, f"{folder}/step-{step:012d}", trial_id), skipped
        except TrialError as error:
            skipped.append(str(error))
    return None, skipped


def _steps(filesystem: fs.FileSystem, folder: str) -> list[int]:
    matches = (_JSON_NAME.fullmatch(info.base_name) for info in list_folder(filesystem, folder))
    return sorted(int(match[1]) for match in matches if match)


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
