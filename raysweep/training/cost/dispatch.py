"""torch's dispatcher as the FLOP meter sees it. All of torch's private API that the meter needs is here.

tests/training/cost/test_dispatch_api.py names each part of it, and fails by that name if a version of torch moves or
changes it.
"""

import sys
from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from torch._ops import OpOverload as Operation
from torch._ops import OpOverloadPacket as Packet
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode as DispatchMode

__all__ = ["DispatchMode", "Operation", "Packet"]

Kwargs = Mapping[str, object]


def packet_of(func: Operation) -> Packet:
    """The operation that a function is an overload of; itself if it is a higher-order operator."""
    packet: Packet = getattr(func, "_overloadpacket", func)  # type: ignore[arg-type]
    return packet


def overload_of(func: Operation) -> str:
    """The name of an overload, such as `Tensor` or `reduce`."""
    return func._overloadname


def namespace_of(func: Operation) -> str:
    """The namespace of an operation, such as `aten`; empty for a higher-order operator."""
    return str(getattr(func, "namespace", ""))


def arguments(
    func: Operation, args: tuple[object, ...], kwargs: Kwargs
) -> Iterator[tuple[Literal["read", "write", "view"], object]]:
    """Yield the values of an operation's arguments, and how it uses their memory.

    A higher-order operator has no schema that says so, and nothing is yielded.
    """
    schema = getattr(func, "_schema", None)
    if schema is None:
        return
    given = [*zip(schema.arguments, args, strict=False)]
    given += [(argument, kwargs[argument.name]) for argument in schema.arguments if argument.name in kwargs]
    for argument, value in given:
        alias = argument.alias_info
        yield "read" if alias is None else "write" if alias.is_write else "view", value


def tensors_in(values: object) -> list[torch.Tensor]:
    """All tensors in nested lists, tuples and mappings."""
    return [value for value in _pytree.tree_leaves(values) if isinstance(value, torch.Tensor)]


def storage_id(tensor: torch.Tensor) -> int:
    """An identifier that two tensors share if and only if they share their memory."""
    return int(tensor.untyped_storage()._cdata)


def compiler_loaded() -> bool:
    """Whether this process has loaded torch's compiler, so that a network may have compiled parts."""
    return "torch._dynamo" in sys.modules
