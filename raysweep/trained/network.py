"""The network of a model file: built within bounds, its weights checked before they are used."""

import math
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

import torch
from torch import nn

from raysweep.core.errors import ModelError, RaysweepError
from raysweep.models.base import DatasetInfo, ForceField
from raysweep.models.plug_ins import plug_ins
from raysweep.models.registry import create, is_built_in
from raysweep.trained.record import ModelRecord
from raysweep.training.cost.dispatch import DispatchMode, Operation, packet_of
from raysweep.training.device.precision import weight_dtype
from raysweep.training.hidden_state import changeable

WEIGHTS, KEPT = "weights.", "kept."
"""Before the names of tensors: the network's state, and buffers outside of it that training has changed."""
FREE_ELEMENTS = 2**27
"""Elements that a network may allocate besides a few copies of its weights: tables of its geometry."""
COPIES = 8


def build_network(record: ModelRecord, tensors: Mapping[str, torch.Tensor], name: str) -> ForceField:
    """Build the network and load its weights, in evaluation mode and without gradients for its weights.

    Args:
        record: the description.
        tensors: the state, as in `model_file.write_model`.
        name: of the file, for messages.

    Raises:
        ModelError: the architecture is unknown here or differs, or a tensor is missing, unknown, of another shape or
            type, or not finite.
    """
    unknown = [key for key in tensors if not key.startswith((WEIGHTS, KEPT))]
    if unknown:
        raise ModelError(f"{name}: tensor {unknown[0]!r} is neither a weight nor a buffer; export the model again")
    network = _empty_network(record, tensors, name)
    state = {key.removeprefix(WEIGHTS): value for key, value in tensors.items() if key.startswith(WEIGHTS)}
    _check_state(network.state_dict(), state, name)
    network.load_state_dict(state)
    _load_kept(network, record, tensors, name)
    return network.eval().requires_grad_(False)


def plug_in_of(architecture: str) -> str | None:
    """Name the package and entry point that add an architecture; None for raysweep's own."""
    if is_built_in(architecture):
        return None
    entry = plug_ins()[architecture]
    return f"{entry.dist.name if entry.dist else 'unknown package'}: {entry.value}"


def package_version(plug_in: str | None) -> dict[str, str]:
    """The version of the package that adds an architecture, by its name; empty for raysweep's own."""
    if plug_in is None:
        return {}
    package = plug_in.partition(":")[0]
    try:
        return {package: version(package)}
    except PackageNotFoundError:
        return {}


def _empty_network(record: ModelRecord, tensors: Mapping[str, torch.Tensor], name: str) -> ForceField:
    if not is_built_in(record.architecture) and record.architecture not in plug_ins():
        remedy = f"install the package that adds it ({record.plug_in})" if record.plug_in else "update raysweep"
        raise ModelError(f"{name}: architecture {record.architecture!r} is unknown here; {remedy}")
    dataset = DatasetInfo(elements=tuple(record.elements), scale=record.scale)
    stored = sum(value.numel() for value in tensors.values())
    try:
        with _Bounded(FREE_ELEMENTS + COPIES * stored):
            network = create(
                record.architecture, record.size, record.forces, dataset, 0, weight_dtype(record.precision)
            )
    except _TooLargeError as error:
        raise ModelError(
            f"{name}: size {record.size} makes a network of {error} numbers or more, and the file holds {stored}: "
            "damaged or forged; export the model again"
        ) from error
    except RaysweepError as error:
        raise ModelError(f"{name}: {error}") from error
    if network.size.cutoff != record.cutoff:
        raise ModelError(
            f"{name}: cutoff is {record.cutoff} Å, and its network's {network.size.cutoff} Å; export the model again"
        )
    return network


def _check_state(wanted: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor], name: str) -> None:
    """Refuse a state that is not that of the network."""
    for key in sorted({*wanted} ^ {*found}):
        what = "is missing" if key in wanted else "is none of the network's"
        raise ModelError(
            f"{name}: weight {key!r} {what}: the architecture has changed since, or the file is another network's; "
            "use the version of its package that wrote the file, or export the model again"
        )
    for key, value in wanted.items():
        _check_tensor(key, value, found[key], name)


def _check_tensor(key: str, wanted: torch.Tensor, found: torch.Tensor, name: str) -> None:
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        raise ModelError(
            f"{name}: weight {key!r} is {_shown(found)}, and the network needs {_shown(wanted)}; use the version of "
            "the architecture's package that wrote the file, or export the model again"
        )
    if found.is_floating_point() and not bool(torch.isfinite(found).all()):
        raise ModelError(
            f"{name}: weight {key!r} has values that are not finite; export another point of the sweep, or train with "
            "a smaller learning rate"
        )


def _shown(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _load_kept(network: nn.Module, record: ModelRecord, tensors: Mapping[str, torch.Tensor], name: str) -> None:
    """Restore buffers and numbers outside of the state: none but those that the network has."""
    buffers, numbers = changeable(network)
    for key, value in tensors.items():
        if key.startswith(KEPT):
            inner = key.removeprefix(KEPT)
            if inner not in buffers:
                raise ModelError(f"{name}: buffer {inner!r} is none of the network's; export the model again")
            _check_tensor(inner, buffers[inner], value, name)
            buffers[inner].copy_(value)
    for key, number in record.numbers.items():
        if type(numbers.get(key)) is not type(number):
            raise ModelError(
                f"{name}: numbers.{key} is {number!r}, which the network has no place for; export the model again"
            )
        path, _, attribute = key.rpartition(".")
        setattr(network.get_submodule(path), attribute, number)


class _TooLargeError(Exception):
    """A network allocates more than it may."""


class _Bounded(DispatchMode):  # type: ignore[no-untyped-call]
    """Counts the elements that are allocated, and raises before they exceed a bound."""

    def __init__(self, most: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._most, self._total = most, 0

    def __torch_dispatch__(
        self,
        func: Operation,
        types: object,
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        if packet_of(func).__name__ in _FACTORIES:
            shape = next((arg for arg in args if isinstance(arg, list | tuple | int)), ())
            self._total += int(math.prod(shape)) if isinstance(shape, list | tuple) else int(shape)
            if self._total > self._most:
                raise _TooLargeError(self._total)
        return func(*args, **(kwargs or {}))


_FACTORIES = frozenset(
    ("randn", "rand", "randint", "empty", "zeros", "ones", "full", "new_zeros", "new_empty", "new_ones", "new_full",
     "empty_strided", "arange", "eye")
)  # fmt: skip
