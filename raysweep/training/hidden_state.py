"""State of a network outside its state dict: non-persistent buffers and plain numbers that change between steps."""

from collections.abc import Mapping

import torch
from torch import nn

Number = int | float | bool | str

_OF_ALL = frozenset(vars(nn.Module()))
"""Attributes that torch itself keeps in every module."""


class HiddenState:
    """Non-persistent buffers and numbers that are attributes of modules, and their initial values.

    A network may count its calls in an attribute, or average into a buffer that it leaves out of its state. A resumed
    run needs these as much as the weights. Only values that have changed are saved.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._tensors = {name: buffer.detach().clone() for name, buffer in self._buffers().items()}
        self._numbers = self._attributes()

    def tensors(self) -> dict[str, torch.Tensor]:
        """Copies of the buffers that have changed, by name."""
        return {
            name: buffer.detach().clone()
            for name, buffer in self._buffers().items()
            if name not in self._tensors or not _equal(buffer, self._tensors[name])
        }

    def numbers(self) -> dict[str, Number]:
        """The numbers that have changed, by name."""
        missing = object()
        return {name: x for name, x in self._attributes().items() if self._numbers.get(name, missing) != x}

    def load(self, tensors: Mapping[str, torch.Tensor], numbers: Mapping[str, Number]) -> None:
        """Restore the initial values, except for the given ones."""
        now, attributes = self._buffers(), self._attributes()
        for name, value in {**self._tensors, **tensors}.items():
            if name in now and now[name].shape == value.shape:
                if not _equal(now[name], value):
                    with torch.no_grad():
                        now[name].copy_(value)
            else:
                owner, key = self._owner(name)
                like = next(self._model.parameters())
                owner.register_buffer(key, value.to(like.device, copy=True), persistent=False)
        for name in set(now) - set(self._tensors) - set(tensors):  # was None
            owner, key = self._owner(name)
            owner.register_buffer(key, None, persistent=False)
        for name, number in {**self._numbers, **numbers}.items():
            if attributes.get(name) != number:
                owner, key = self._owner(name)
                setattr(owner, key, number)

    def _buffers(self) -> dict[str, torch.Tensor]:
        return changeable(self._model)[0]

    def _attributes(self) -> dict[str, Number]:
        return changeable(self._model)[1]

    def _owner(self, name: str) -> tuple[nn.Module, str]:
        path, _, key = name.rpartition(".")
        return self._model.get_submodule(path), key


def changeable(model: nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, Number]]:
    """The non-persistent buffers of a network and the numbers that are attributes of its modules, by name."""
    kept = model.state_dict(keep_vars=True)
    buffers = {name: buffer for name, buffer in model.named_buffers() if name not in kept}
    numbers = {
        f"{path}.{name}": value
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if name not in _OF_ALL and type(value) in (int, float, bool, str)
    }
    return buffers, numbers


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a, b.to(a.device))
