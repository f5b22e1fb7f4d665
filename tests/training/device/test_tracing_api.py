"""The private API of torch that compiled steps are made with: a version that moves a part of it fails by its name."""

import inspect
import warnings
from importlib import import_module
from operator import attrgetter

import pytest
import torch

PARTS = [
    ("torch._guards", "tracing", ("context",)),
    ("torch._guards", "TracingContext", ("fake_mode",)),
    ("torch._inductor.config", "patch", ()),
    ("torch._inductor.config", "compile_threads", None),
    ("torch._inductor.compile_fx", "compile_fx", ("model_", "example_inputs_")),
    ("torch._dispatch.python", "enable_python_dispatcher", ()),
    ("torch._dynamo.source", "ConstantSource", ("source_name",)),
    ("torch._subclasses.fake_tensor", "FakeTensorMode", ("allow_non_fake_inputs", "shape_env")),
    ("torch._subclasses.fake_tensor", "FakeTensorMode.from_tensor", ("source", "symbolic_context")),
    ("torch.fx.experimental.proxy_tensor", "make_fx", ("f",)),
    ("torch.fx.experimental.symbolic_shapes", "ShapeEnv", ()),
    ("torch.fx.experimental.symbolic_shapes", "ShapeEnv.produce_guards_expression", ("placeholders",)),
    ("torch.fx.experimental.symbolic_shapes", "ShapeEnv.evaluate_guards_expression", ("code", "args")),
    ("torch.fx.experimental.symbolic_shapes", "DimDynamic.STATIC", None),
    ("torch.fx.experimental.symbolic_shapes", "DimDynamic.DUCK", None),
    ("torch.fx.experimental.symbolic_shapes", "StatelessSymbolicContext", ("dynamic_sizes",)),
    ("torch.fx.experimental.sym_node", "SymNode.maybe_as_int", ()),
    ("torch", "ops.aten._unsafe_view.default", None),
    ("torch", "ops.aten.view.default", None),
    ("torch", "ops.aten.reshape.default", None),
]
"""Module, name within it, and the parameters that raysweep gives; None where it is no function."""


@pytest.mark.parametrize(("module", "name", "parameters"), PARTS, ids=[f"{module}.{name}" for module, name, _ in PARTS])
def test_torch_still_has(module: str, name: str, parameters: tuple[str, ...] | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found = attrgetter(name)(import_module(module))
    if parameters:
        assert set(parameters) <= set(inspect.signature(found).parameters)


def test_modules_still_keep_weights_and_buffers_in_mappings_that_can_be_written() -> None:
    norm = torch.nn.BatchNorm1d(2)
    assert set(norm._parameters) == {"weight", "bias"}
    assert set(norm._buffers) == {"running_mean", "running_var", "num_batches_tracked"}
    plain = torch.zeros(2)
    norm._parameters["weight"] = plain  # type: ignore[assignment]
    assert norm.weight is plain
