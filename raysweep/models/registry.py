"""Architectures by name: raysweep's own, and those that other packages add.

A package adds an architecture without touching raysweep, by an entry point of the group `raysweep.models` whose value
is an `Architecture` (docs/models.md shows one):

    [project.entry-points."raysweep.models"]
    mynet = "mypackage.mynet:ARCHITECTURE"
"""

import difflib
from collections.abc import Mapping
from functools import cache
from importlib import import_module

import torch
from pydantic import ValidationError
from torch.nn.parameter import is_lazy

from raysweep.core.errors import SpaceError
from raysweep.core.trial import SizeValue
from raysweep.models.base import Architecture, DatasetInfo, ForceField, ForceMode, Size
from raysweep.models.guest_errors import guest_errors
from raysweep.models.plug_ins import BUILT_IN as _BUILT_IN
from raysweep.models.plug_ins import GROUP as GROUP
from raysweep.models.plug_ins import plug_ins as _plug_ins
from raysweep.models.randomness import preserved_random_state, reseed, seed_torch


def names() -> list[str]:
    """The names of all architectures, those of other packages included."""
    return sorted({*_BUILT_IN, *_plug_ins()})


@cache
def architecture(name: str) -> Architecture:
    """Look up an architecture by name.

    Raises:
        SpaceError: no architecture has that name, or another package's entry point of that name is not one.
    """
    if name in _BUILT_IN:
        module, attribute = _BUILT_IN[name].split(":")
        found: Architecture = getattr(import_module(module), attribute)
        return found
    if name not in _plug_ins():
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(names())}."
        raise SpaceError(f"architecture {name!r} is unknown. {hint}")
    entry = _plug_ins()[name]
    try:
        loaded = entry.load()
    except (ImportError, AttributeError) as error:
        raise SpaceError(
            f"architecture {name!r}: entry point {entry.value} cannot be loaded: {error}. Fix that package."
        ) from error
    if not isinstance(loaded, Architecture):
        raise SpaceError(
            f"architecture {name!r}: entry point {entry.value} is a {type(loaded).__name__}, not a "
            "raysweep.models.base.Architecture. Point it at one."
        )
    return loaded


def is_built_in(name: str) -> bool:
    """Whether an architecture is raysweep's own."""
    return name in _BUILT_IN


def check_size(name: str, size: Mapping[str, SizeValue]) -> Size:
    """Validate the size of an architecture and complete its knobs.

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
    dataset: DatasetInfo,
    seed: int,
    dtype: torch.dtype = torch.float32,
) -> ForceField:
    """Create a force field with weights drawn from the seed alone, on the CPU, in `dtype`.

    Raises:
        SpaceError: the architecture or a knob of its size is unknown or out of range, or the network has nothing to
            train, lazy or complex parameters, or a state that is not a tensor.
    """
    knobs = check_size(name, size)
    if forces == "direct" and getattr(knobs, "l_max", 1) < 1:
        raise SpaceError(f"architecture {name!r}: direct forces are vectors and need l_max >= 1; raise l_max.")
    default = torch.get_default_dtype()
    with preserved_random_state():
        reseed(seed)
        seed_torch(seed)
        torch.set_default_dtype(dtype)
        try:
            with guest_errors(name, "building the network"):
                network = architecture(name).network(knobs, forces, dataset)
        finally:
            torch.set_default_dtype(default)
    _check_state(name, network)
    _unfold(network)
    return network


def _check_state(name: str, network: ForceField) -> None:
    """Refuse a network with parameters that cannot be trained, or a state that cannot be saved."""
    for key, value in [*network.named_parameters(), *network.named_buffers()]:
        if is_lazy(value):
            raise SpaceError(
                f"architecture {name!r}: {key!r} gets its shape at the first forward pass (a lazy module), so the "
                "network has no size until then. Give the layer its input width."
            )
        if value.requires_grad and value.is_complex():
            raise SpaceError(
                f"architecture {name!r}: parameter {key!r} is complex, and optimizers here need real numbers. Make its "
                "real and imaginary parts (torch.view_as_real) the parameter."
            )
    if not any(weight.requires_grad for weight in network.parameters()):
        raise SpaceError(f"architecture {name!r} has no trainable parameter: nothing would be trained.")
    for key, kept in network.state_dict().items():
        if not isinstance(kept, torch.Tensor):
            raise SpaceError(
                f"architecture {name!r}: the state {key!r} is a {type(kept).__name__}, and checkpoints hold only "
                "tensors. Make it a buffer."
            )


def _unfold(network: ForceField) -> None:
    """Copy buffers whose elements share memory (`expand`), so that they can be written."""
    for module in network.modules():
        for key, buffer in list(module.named_buffers(recurse=False, remove_duplicate=False)):
            if any(step == 0 and n > 1 for step, n in zip(buffer.stride(), buffer.shape, strict=True)):
                setattr(module, key, buffer.contiguous())
