"""muP, the maximal-update parametrisation: a learning rate tuned at one width holds at every other.

Tensor Programs V (arXiv 2203.03466), table 8, for Adam-like optimizers: the rate of a weight falls as its fan-in grows,
that of biases and embeddings stays. What grew is measured by comparing shapes with the base member of the family, never
guessed from names. The fan-in's axis follows from the kind of the module: `blocks` stores every weight as
[..., fan_in, fan_out], so vector channels, tensor channels and path multiplicities get the multiplier of their own
fan-in; torch's own linear layers store [fan_out, fan_in]; a lookup table has none. Networks draw their weights with
variance 1 / fan_in (1 / fan_in² for outputs) already.
"""

from dataclasses import dataclass

from torch import nn

from raysweep.errors import SpaceError


@dataclass(frozen=True)
class RateGroup:
    """Parameters that share a multiplier of the learning rate."""

    multiplier: float
    parameters: tuple[nn.Parameter, ...]


def rate_groups(model: nn.Module, base: nn.Module | None) -> list[RateGroup]:
    """Return the model's parameters grouped by the multiplier base_fan_in / fan_in, multipliers ascending.

    Args:
        model: the network to be trained.
        base: the member of the same family at which the rate was tuned; None gives every parameter the multiplier 1.

    Raises:
        SpaceError: the two differ in more than their widths (another depth, say), so that no multiplier is defined.
    """
    multipliers: dict[float, list[nn.Parameter]] = {}
    shapes = {name: weight.shape for name, weight in base.named_parameters()} if base is not None else {}
    for name, weight in model.named_parameters():
        multiplier = 1.0
        if base is not None:
            if name not in shapes or len(shapes[name]) != weight.dim():
                raise SpaceError(
                    f"muP cannot compare parameter {name!r}: base and size must have equal depth and equal knobs "
                    "except widths. Make `base` a member of the same ladder."
                )
            axis = _fan_in_axis(model.get_submodule(name.rpartition(".")[0]), weight)
            if axis is not None:
                multiplier = shapes[name][axis] / weight.shape[axis]
        multipliers.setdefault(multiplier, []).append(weight)
    if base is not None and len(shapes) != sum(len(group) for group in multipliers.values()):
        raise SpaceError("muP: base has parameters that the size lacks; both must have equal depth.")
    return [RateGroup(multiplier, tuple(multipliers[multiplier])) for multiplier in sorted(multipliers)]


def _fan_in_axis(owner: nn.Module, weight: nn.Parameter) -> int | None:
    """Return the axis of a weight along which inputs are summed; None for biases, scales and lookup tables."""
    if weight.dim() < 2 or isinstance(owner, nn.Embedding):
        return None
    return -1 if isinstance(owner, nn.Linear) else -2
