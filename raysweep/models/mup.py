"""muP, the maximal-update parametrisation: a learning rate tuned at one width holds at every other.

Tensor Programs V (arXiv 2203.03466), table 8, for Adam-like optimizers: the rate of a weight falls as its fan-in grows,
that of biases and embeddings is constant. What grew follows from comparing shapes with the family's base member, and
is never guessed from names. The fan-in's axis follows from the kind of the module: `blocks` stores every weight as
[..., fan_in, fan_out], so vector channels, tensor channels and path multiplicities get the multiplier of their own
fan-in; torch's own linear layers store [fan_out, fan_in]; a lookup table has none. Networks draw their weights with
variance 1 / fan_in (1 / fan_in² for outputs) already.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from raysweep.core.errors import SpaceError

Shapes = Mapping[str, torch.Size]
"""Shapes of a network's trainable parameters, by name."""

_NORMALISATIONS = ("torch.nn.modules.normalization", "torch.nn.modules.batchnorm", "torch.nn.modules.instancenorm")


@dataclass(frozen=True)
class RateGroup:
    """Parameters that share a multiplier of the learning rate."""

    multiplier: float
    parameters: tuple[nn.Parameter, ...]


def rate_groups(model: nn.Module, base: nn.Module | None, name: str | None = None) -> list[RateGroup]:
    """Group the model's trainable parameters by the multiplier base_fan_in / fan_in, multipliers ascending.

    Args:
        model: the network to be trained.
        base: the member of the same family at which the rate was tuned; None gives every parameter the multiplier 1.
        name: of the network, for errors.

    Raises:
        SpaceError: the two differ in more than their widths (another depth, say), so that no multiplier is defined, or
            in flat weights without declared multipliers.
    """
    trained = {key: weight for key, weight in model.named_parameters() if weight.requires_grad}
    found = dict.fromkeys(trained, 1.0) if base is None else _multipliers(model, base, name or type(model).__name__)
    multipliers: dict[float, list[nn.Parameter]] = {}
    for key, weight in trained.items():
        multipliers.setdefault(found[key], []).append(weight)
    return [RateGroup(multiplier, tuple(multipliers[multiplier])) for multiplier in sorted(multipliers)]


def _multipliers(model: nn.Module, base: nn.Module, of: str) -> dict[str, float]:
    shapes, before = _shapes(model), _shapes(base)
    for key, shape in shapes.items():
        if key not in before or len(before[key]) != len(shape):
            raise SpaceError(
                f"muP cannot compare parameter {key!r}: base and size must have equal depth and equal knobs "
                "except widths. Make `base` a member of the same ladder."
            )
    if len(before) != len(shapes):
        raise SpaceError("muP: base has parameters that the size lacks; both must have equal depth.")
    found = _declared(model, base, shapes, of)
    _refuse_flat(model, base, {key: shape for key, shape in shapes.items() if key not in found}, before, of)
    for key, shape in shapes.items():
        if key not in found:
            axis = _fan_in_axis(model.get_submodule(key.rpartition(".")[0]), shape)
            found[key] = 1.0 if axis is None else before[key][axis] / shape[axis]
    return found


def _declared(model: nn.Module, base: nn.Module, shapes: Shapes, of: str) -> dict[str, float]:
    hook = getattr(model, "rate_multipliers", None)
    declared = {} if hook is None else dict(hook(base))
    for key, multiplier in declared.items():
        if key not in shapes:
            raise SpaceError(
                f"{of}: `rate_multipliers` names {key!r}, which is not a trainable parameter of the network."
            )
        if not (isinstance(multiplier, int | float) and 0 < multiplier < math.inf):
            raise SpaceError(f"{of}: `rate_multipliers` gives {multiplier!r} for {key!r}; it must be above 0.")
    return {key: float(multiplier) for key, multiplier in declared.items()}


def _refuse_flat(model: nn.Module, base: nn.Module, shapes: Shapes, before: Shapes, of: str) -> None:
    """Refuse growing weights that are stored as flat vectors.

    A parameter with one axis is a bias or a scale if an axis of a matrix grows with it, if it belongs to a layer of
    torch, or if it grows no faster than the fastest knob; e3nn's layers declare theirs as weights.
    """
    after = _shapes(model)
    channels = {pair for key, of_it in before.items() if len(of_it) > 1 for pair in zip(of_it, after[key], strict=True)}
    fastest = _growth_of_knobs(model, base, channels)
    flat = []
    for key, shape in shapes.items():
        if len(shape) != 1 or shape == before[key] or key.rpartition(".")[2].startswith("bias"):
            continue
        owner = model.get_submodule(key.rpartition(".")[0])
        superlinear = abs(math.log(shape[0] / before[key][0])) > fastest + 1e-9
        hidden = superlinear and (before[key][0], shape[0]) not in channels and not _is_torchs(owner)
        if hidden or hasattr(owner, "weight_numel"):
            flat.append(f"{key} [{before[key][0]}] -> [{shape[0]}]")
    if flat:
        raise SpaceError(
            f"{of}: muP cannot carry the learning rate from base to size: weights that are stored as flat vectors "
            f"grow, and their fan-in is not declared: {', '.join(flat)}. Declare multipliers for them "
            "(`rate_multipliers`, docs/models.md), or tune the rate at every size (learning_rate.transfer: per_size)."
        )


def _growth_of_knobs(model: nn.Module, base: nn.Module, channels: set[tuple[int, int]]) -> float:
    """The logarithm of the largest factor between two knobs, or between axes of matrices without knobs."""
    size, smaller = getattr(model, "size", None), getattr(base, "size", None)
    pairs = list(channels)
    if size is not None and smaller is not None:
        knobs = smaller.model_dump()
        values = ((knobs[key], value) for key, value in size.model_dump().items())
        pairs = [pair for pair in values if all(type(x) in (int, float) and x > 0 for x in pair)]
    return max((abs(math.log(after / first)) for first, after in pairs), default=0.0)


def _shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {key: weight.shape for key, weight in model.named_parameters() if weight.requires_grad}


def _is_torchs(owner: nn.Module) -> bool:
    return type(owner).__module__.startswith("torch.nn.")


def _fan_in_axis(owner: nn.Module, shape: torch.Size) -> int | None:
    """The axis of a weight along which inputs are summed; None for biases, scales and lookup tables."""
    if len(shape) < 2 or isinstance(owner, nn.Embedding) or type(owner).__module__ in _NORMALISATIONS:
        return None
    if isinstance(owner, nn.Linear) or (_is_torchs(owner) and len(shape) == 2):
        return -1
    if type(owner).__module__ == "torch.nn.modules.conv":
        return 0 if getattr(owner, "transposed", False) else 1
    for unit in ("features", "channels"):  # linear layers of other packages
        sides = (getattr(owner, f"out_{unit}", None), getattr(owner, f"in_{unit}", None))
        if sides == tuple(shape[-2:]):
            return -1
    return -2
