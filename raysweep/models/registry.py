"""Architectures by name."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from pydantic import ValidationError

from raysweep.errors import SpaceError
from raysweep.models.base import ForceField, ForceMode, Size, Surroundings
from raysweep.models.egnn import Egnn, EgnnSize
from raysweep.models.mpnn import Mpnn, MpnnSize
from raysweep.models.tensor import Tensor, TensorSize
from raysweep.trial import SizeValue


@dataclass(frozen=True)
class Architecture:
    """A family of force fields: the class of the network, the knobs of its sizes, the symmetry that it promises."""

    network: type[ForceField]
    size: type[Size]
    equivariant: bool


_ARCHITECTURES: dict[str, Architecture] = {
    "mpnn": Architecture(Mpnn, MpnnSize, equivariant=False),
    "egnn": Architecture(Egnn, EgnnSize, equivariant=True),
    "tensor": Architecture(Tensor, TensorSize, equivariant=True),
}


def names() -> list[str]:
    """Return the names of all architectures."""
    return sorted(_ARCHITECTURES)


def architecture(name: str) -> Architecture:
    """Return an architecture by name.

    Raises:
        SpaceError: there is none of that name; the message holds the nearest one.
    """
    if name not in _ARCHITECTURES:
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(names())}."
        raise SpaceError(f"architecture {name!r} is unknown. {hint}")
    return _ARCHITECTURES[name]


def check_size(name: str, size: Mapping[str, SizeValue]) -> Size:
    """Return the size of an architecture as its checked, complete knobs.

    Raises:
        SpaceError: a knob is unknown, missing or out of range; the message names it and the nearest right one.
    """
    knobs = architecture(name).size
    try:
        return knobs.model_validate(dict(size))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        message = f"architecture {name!r}, size key {key!r}: {first['msg']} (got {first.get('input')!r})."
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, list(knobs.model_fields), n=1)
            known = ", ".join(knobs.model_fields)
            message = f"architecture {name!r} has no size key {key!r}; " + (
                f"did you mean {near[0]!r}?" if near else f"its keys are: {known}."
            )
        raise SpaceError(message) from error


def create(
    name: str,
    size: Mapping[str, SizeValue],
    forces: ForceMode,
    surroundings: Surroundings,
    seed: int,
    dtype: torch.dtype = torch.float32,
) -> ForceField:
    """Return a force field with weights drawn from the seed alone, on the CPU, in `dtype`.

    Raises:
        SpaceError: the architecture or a knob of its size is unknown or out of range.
    """
    knobs = check_size(name, size)
    if forces == "direct" and getattr(knobs, "l_max", 1) < 1:
        raise SpaceError(f"architecture {name!r}: direct forces are vectors and need l_max >= 1; raise l_max.")
    default = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_default_dtype(dtype)
        try:
            return architecture(name).network(knobs, forces, surroundings)
        finally:
            torch.set_default_dtype(default)
