"""A meter of floating-point operations.

Work that it cannot count is not counted as 0: the meter refuses to give a total. Such work is an operation in none of
the lists (operations.py), or a kernel that torch's dispatcher does not see (Triton, C++ or NumPy), detected by memory
that is read without ever having been written and by tensors whose values leave torch.
"""

import contextlib
from collections.abc import Callable, Sequence

import torch
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import flop_registry

from raysweep.core.errors import SpaceError
from raysweep.models.declared_flops import METERS
from raysweep.training.cost.dispatch import (
    DispatchMode,
    Kwargs,
    Operation,
    Packet,
    arguments,
    compiler_loaded,
    namespace_of,
    overload_of,
    packet_of,
    storage_id,
    tensors_in,
)
from raysweep.training.cost.formulas import OTHERS, PRODUCTS
from raysweep.training.cost.operations import BLANK, EXITS, FREE, PER_INPUT, PER_RESULT, SCATTERS, SHAPES

_OWN = ("aten", "prims")
_SILENT = ("prim", "profiler")
"""Namespaces of the operations that the lists cover, and of those that compute nothing."""


class FlopMeter(DispatchMode):  # type: ignore[no-untyped-call]
    """Counts the floating-point operations of everything that runs inside it, backward passes included.

    Attributes:
        products: FLOPs of matrix products and factorisations, and of operations with a formula of the network's.
        pointwise: FLOPs of everything else: elementwise, reductions, scatters, transforms.
        declared: FLOPs of blocks that the network declares (`raysweep.models.declared_flops.declare_flops`).
        unknown: names of the operations that ran and cannot be counted.
    """

    supports_higher_order_operators = True

    def __init__(self, of: str = "this network") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.products = self.pointwise = self.declared = 0
        self.unknown: dict[str, None] = {}
        self._of = of
        self._paused = 0
        self._blank: dict[int, torch.UntypedStorage] = {}
        self._stack = contextlib.ExitStack()

    @property
    def total(self) -> int:
        """All operations.

        Raises:
            SpaceError: something ran that cannot be counted.
        """
        if self.unknown:
            raise SpaceError(
                f"the training FLOPs of {self._of} cannot be counted: there is no formula for "
                f"{', '.join(self.unknown)}. Give one in the package that adds the architecture: "
                "torch.utils.flop_counter.register_flop_formula for an operation of torch, "
                "raysweep.models.declared_flops.declare_flops around anything else "
                "(docs/training.md, 'What a FLOP is here')."
            )
        return self.products + self.pointwise + self.declared

    def __enter__(self) -> "FlopMeter":
        """Start counting."""
        METERS.append(self)
        self._stack.callback(METERS.remove, self)
        if compiler_loaded():  # a network's compiled parts are counted uncompiled
            self._stack.enter_context(torch.compiler.set_stance("force_eager"))
        self._stack.enter_context(_Exits(self))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: object) -> None:
        """Stop counting."""
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._stack.close()

    def pause(self) -> None:
        """Stop counting."""
        self._paused += 1

    def resume(self, declared: int) -> None:
        """Resume counting, with the declared operations added."""
        self._paused -= 1
        if not self._paused:
            self.declared += declared
            self._blank.clear()

    def leaves(self, name: str) -> None:
        """Record that values leave torch."""
        if not self._paused:
            self.unknown[f"computation outside of torch (Tensor.{name})"] = None

    def __torch_dispatch__(
        self, func: Operation, types: object, args: tuple[object, ...] = (), kwargs: Kwargs | None = None
    ) -> object:
        """Run an operation and count it."""
        kwargs = kwargs or {}
        if not self._paused:
            self._look_for_unwritten(func, args, kwargs)
        out = func(*args, **kwargs)
        if not self._paused:
            self._count(func, args, kwargs, out)
        return out

    def _count(self, func: Operation, args: tuple[object, ...], kwargs: Kwargs, out: object) -> None:
        packet, namespace = packet_of(func), namespace_of(func)
        name = packet.__name__.removesuffix("_")
        own = namespace in _OWN
        results = tensors_in(out)
        if packet in flop_registry or (own and name in PRODUCTS):
            complex_ways = 4 if any(result.is_complex() for result in results) else 1
            self.products += complex_ways * self._by_formula(packet, name, args, kwargs, out)
            if packet.__name__ in ("addmm", "baddbmm"):
                self.pointwise += results[0].numel()
        elif own and name in OTHERS:
            self.pointwise += OTHERS[name](args, results[0])
        elif own and name in FREE and not ("reduce" in kwargs or "reduce" in overload_of(func)):
            if packet.__name__ in BLANK:
                self._blank |= {storage_id(result): result.untyped_storage() for result in results if result.numel()}
        elif own and name in SCATTERS:
            at = SCATTERS[name]
            if at is None or kwargs.get("accumulate") or (len(args) > at and args[at]):
                self.pointwise += _numbers(_floating(args)[-1:])
        elif _is_pointwise(func, own):
            ways = 3 if name in ("mul", "div", "reciprocal") else 1
            self.pointwise += sum((ways if r.is_complex() else 1) * _numbers([r]) for r in results)
        elif own and name in PER_RESULT:
            self.pointwise += PER_RESULT[name] * _numbers(results[:1])
        elif own and name in PER_INPUT:
            self.pointwise += PER_INPUT[name] * _numbers(_floating(args)[:1])
        elif namespace not in _SILENT and (not own or _floating([args, kwargs, out])):
            self.unknown[str(packet)] = None

    def _by_formula(self, packet: Packet, name: str, args: tuple[object, ...], kwargs: Kwargs, out: object) -> int:
        try:
            if packet in flop_registry:
                return int(flop_registry[packet](*args, **kwargs, out_val=out))
            return int(PRODUCTS[name](*(arg for arg in args if isinstance(arg, torch.Tensor))))
        except Exception as error:  # formulas are third-party code
            raise SpaceError(
                f"the training FLOPs of {self._of} cannot be counted: the formula for {packet} fails with "
                f"{type(error).__name__}: {error}. Fix it in the package that registers it."
            ) from error

    def _look_for_unwritten(self, func: Operation, args: tuple[object, ...], kwargs: Kwargs) -> None:
        """Record an operation that reads memory that no operation has written: a kernel outside of torch must have."""
        if not self._blank:
            return
        name = packet_of(func).__name__
        if name.removesuffix("_") in SHAPES or name.endswith("_like"):
            return
        for access, value in arguments(func, args, kwargs):
            for tensor in tensors_in(value):
                storage = storage_id(tensor)
                if storage not in self._blank or access == "view":
                    continue
                del self._blank[storage]
                if access == "read":
                    self.unknown["a kernel outside of torch's dispatcher (Triton, C++ or NumPy)"] = None


class _Exits(TorchFunctionMode):
    """Reports values that leave torch to a meter."""

    def __init__(self, meter: FlopMeter) -> None:
        super().__init__()
        self._meter = meter

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: Kwargs | None = None,
    ) -> object:
        if func in EXITS and _floating(args):
            self._meter.leaves(func.__name__)
        return func(*args, **(kwargs or {}))


def _is_pointwise(func: Operation, own: bool) -> bool:
    """Whether an operation is elementwise.

    torch tags elementwise operations, some of them only in their out-of-place variant; it tags neither their
    derivatives nor the `prims` that they decompose into.
    """
    if torch.Tag.pointwise in getattr(func, "tags", ()):
        return True
    name = packet_of(func).__name__ if own else ""
    bare = name.removesuffix("_").removesuffix("_backward")
    if bare == name and namespace_of(func) != "prims":
        return False
    plain = getattr(torch.ops.aten, bare, None)
    return plain is not None and any(torch.Tag.pointwise in getattr(plain, o).tags for o in plain.overloads())


def _floating(values: object) -> list[torch.Tensor]:
    return [tensor for tensor in tensors_in(values) if tensor.is_floating_point() or tensor.is_complex()]


def _numbers(tensors: Sequence[torch.Tensor]) -> int:
    """The number of floating-point numbers in tensors, a complex one counted as two."""
    return sum(tensor.numel() * (2 if tensor.is_complex() else 1) for tensor in _floating(tensors))
