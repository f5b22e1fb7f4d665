"""The private API of torch that the FLOP meter counts with: a version that moves a part of it fails by its name."""

import torch

from raysweep.training.cost.dispatch import (
    DispatchMode,
    arguments,
    namespace_of,
    overload_of,
    packet_of,
    storage_id,
    tensors_in,
)

ATEN = torch.ops.aten


class Recorder(DispatchMode):
    """Records the operations that run."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[object] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append(func)
        return func(*args, **(kwargs or {}))


def test_a_dispatch_mode_sees_the_operations_of_backward_passes_as_well() -> None:
    x = torch.ones(3, requires_grad=True)
    with Recorder() as recorder:
        x.exp().sum().backward()
    assert ATEN.exp.default in recorder.seen
    assert ATEN.mul.Tensor in recorder.seen  # the derivative of exp


def test_operations_say_what_they_are_an_overload_of() -> None:
    assert packet_of(ATEN.add.Tensor) is ATEN.add
    assert packet_of(ATEN.add_.Tensor).__name__ == "add_"
    assert overload_of(ATEN.index_put.default) == "default"
    assert overload_of(ATEN.scatter.reduce) == "reduce"
    assert namespace_of(ATEN.add.Tensor) == "aten"
    assert namespace_of(torch.ops.higher_order.cond) != "aten"


def test_operations_say_how_they_use_the_memory_of_their_arguments() -> None:
    x, y = torch.ones(2), torch.ones(2)
    read = [("read", x), ("read", y)]
    assert list(arguments(ATEN.add.Tensor, (x, y), {})) == read
    assert list(arguments(ATEN.add.Tensor, (x,), {"other": y})) == read
    assert [access for access, _ in arguments(ATEN.add_.Tensor, (x, y), {})] == ["write", "read"]
    assert [access for access, _ in arguments(ATEN.view.default, (x, [2]), {})] == ["view", "read"]


def test_tensors_are_found_in_nested_values_and_known_by_their_memory() -> None:
    x, y = torch.ones(4), torch.ones(4)
    assert tensors_in([x, {"a": (y, 3)}]) == [x, y]
    assert storage_id(x) == storage_id(x[1:].view(3))
    assert storage_id(x) != storage_id(y)
