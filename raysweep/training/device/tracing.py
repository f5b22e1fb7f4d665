"""torch's tracer and compiler for tensors of symbolic size: all of torch's private API that compiled steps need.

tests/training/device/test_tracing_api.py names each part of it, and fails by that name if a version of torch moves or
changes it.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from torch._subclasses.fake_tensor import FakeTensorMode


class Tracer:
    """Traces and compiles a function of tensors, of which some have a first axis of symbolic length.

    Attributes:
        sizes: lengths of the axes that `sized_by` names: symbols, except for those that torch treats as constants.
        symbols: which of `sizes` are symbols; the compiled function takes their values before the tensors.
    """

    def __init__(
        self, fixed: Sequence[torch.Tensor], sized: Mapping[str, torch.Tensor], sized_by: Sequence[str]
    ) -> None:
        """Make fake tensors, which have shapes but no values, of the given ones.

        Args:
            fixed: tensors whose shapes never change.
            sized: tensors by name whose first axes vary; axes of one length are one symbol.
            sized_by: names of tensors, one for each symbol.
        """
        from torch._subclasses.fake_tensor import FakeTensorMode
        from torch.fx.experimental.symbolic_shapes import ShapeEnv

        self._shapes = ShapeEnv()
        self._fake = FakeTensorMode(shape_env=self._shapes, allow_non_fake_inputs=True)
        varying = {name: _fake_tensor(self._fake, tensor, name) for name, tensor in sized.items()}
        self._tensors = [*(_fake_tensor(self._fake, tensor, None) for tensor in fixed), *varying.values()]
        self.sizes = [varying[name].shape[0] for name in sized_by]
        self.symbols = [i for i, size in enumerate(self.sizes) if isinstance(size, torch.SymInt)]

    @property
    def _inputs(self) -> list[Any]:
        return [*(self.sizes[i] for i in self.symbols), *self._tensors]

    def trace(self, function: Callable[[Sequence[torch.Tensor]], list[torch.Tensor]]) -> torch.fx.GraphModule:
        """Record the operations of a function of the tensors."""
        from torch._dispatch.python import enable_python_dispatcher
        from torch.fx.experimental.proxy_tensor import make_fx

        def of_inputs(*values: torch.Tensor | int) -> list[torch.Tensor]:
            return function([value for value in values if isinstance(value, torch.Tensor)])

        with self._fake, enable_python_dispatcher():
            graph = make_fx(of_inputs)(*self._inputs)
        aten = torch.ops.aten
        for node in graph.graph.nodes:
            # Inductor may choose another memory layout for the base of a view than the traced one.
            if node.target in (aten.view.default, aten._unsafe_view.default):
                node.target = aten.reshape.default
        graph.graph.eliminate_dead_code()
        graph.recompile()
        return graph

    def constants(self) -> list[int]:
        """The symbols that the traced function has fixed to a number."""
        return [i for i in self.symbols if self.sizes[i].node.maybe_as_int() is not None]  # type: ignore[attr-defined]

    def compile(self, graph: torch.fx.GraphModule) -> Callable[..., Sequence[torch.Tensor]]:
        """Compile traced operations to a function of the symbols' values and the tensors."""
        from torch._guards import TracingContext, tracing
        from torch._inductor import config

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            from torch._inductor.compile_fx import compile_fx

        with (
            torch.no_grad(),
            tracing(TracingContext(self._fake)),
            config.patch(compile_threads=torch.get_num_threads()),
        ):
            run: Any = compile_fx(graph, self._inputs)
        compiled: Callable[..., Sequence[torch.Tensor]] = run
        return compiled

    def guard(self) -> Callable[[Sequence[int]], bool]:
        """A predicate on sizes: whether the compiled function is valid for them."""
        code = self._shapes.produce_guards_expression([self.sizes[i] for i in self.symbols])  # type: ignore[misc]
        fixed = {i: size for i, size in enumerate(self.sizes) if i not in self.symbols}

        def holds(of: Sequence[int]) -> bool:
            same = all(of[i] == size for i, size in fixed.items())
            values = [of[i] for i in self.symbols]
            return same and (code is None or self._shapes.evaluate_guards_expression(code, values))

        return holds


def _fake_tensor(fake: "FakeTensorMode", tensor: torch.Tensor, name: str | None) -> torch.Tensor:
    """A fake tensor; if it has a name, its first axis is a symbol, shared by axes of that length."""
    from torch._dynamo.source import ConstantSource
    from torch.fx.experimental.symbolic_shapes import DimDynamic, StatelessSymbolicContext

    sizes = [DimDynamic.STATIC] * tensor.dim()
    if name is not None:
        sizes[0] = DimDynamic.DUCK
    context: Any = StatelessSymbolicContext(dynamic_sizes=sizes)
    source = ConstantSource(name or "fixed")
    found: torch.Tensor = fake.from_tensor(tensor.detach(), source=source, symbolic_context=context)
    return found


@contextmanager
def replaced(model: nn.Module, old: Sequence[torch.Tensor], new: Sequence[torch.Tensor]) -> Iterator[None]:
    """Replace a network's weights and buffers by other tensors for the block, wherever they are shared.

    torch.func.functional_call leaves fake tensors behind in modules that a network registers twice, as SchNet does.
    """
    replacements = {id(before): after for before, after in zip(old, new, strict=True)}
    slots = [
        (of, name, tensor)
        for module in model.modules()
        for of in (module._parameters, module._buffers)
        for name, tensor in of.items()
        if tensor is not None
    ]
    try:
        for of, name, tensor in slots:
            of[name] = replacements[id(tensor)]  # type: ignore[assignment]
        yield
    finally:
        for of, name, tensor in slots:
            of[name] = tensor  # type: ignore[assignment]
