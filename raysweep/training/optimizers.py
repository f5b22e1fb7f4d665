"""The optimizer of a trajectory, and its state as tensors and plain numbers (never a pickle)."""

from typing import TypedDict

import torch
from schedulefree import AdamWScheduleFree
from torch import nn

from raysweep.models.width_scaling import RateGroup
from raysweep.trial import OptimizerSpec

_GROUP_NUMBERS = ("k", "weight_sum", "lr_max", "scheduled_lr")


class OptimizerState(TypedDict):
    """`tensors` by "<group>.<index>.<name>", and the numbers of each parameter group."""

    tensors: dict[str, torch.Tensor]
    groups: list[dict[str, float]]
    train_mode: bool


class Optimizer:
    """Schedule-free AdamW (Defazio et al., arXiv 2405.15682): every evaluation is a valid point, no horizon needed.

    Weights are switched between the sequence that gradients are taken at (`train`) and the averaged one that is
    evaluated (`eval`).
    """

    def __init__(self, groups: list[RateGroup], learning_rate: float, spec: OptimizerSpec) -> None:
        self.parameters = [weight for group in groups for weight in group.parameters]
        self._clip_norm = spec.clip_norm
        self._inner = AdamWScheduleFree(
            [{"params": list(group.parameters), "lr": learning_rate * group.multiplier} for group in groups],
            betas=spec.betas,
            weight_decay=spec.weight_decay,
            warmup_steps=spec.warmup_steps,
        )

    def train(self) -> None:
        """Put the weights where gradients are taken."""
        self._inner.train()

    def eval(self) -> None:
        """Put the weights where they are evaluated."""
        self._inner.eval()

    def step(self) -> float:
        """Clip the gradients, move the weights and return the gradient's norm before clipping."""
        norm = float(nn.utils.clip_grad_norm_(self.parameters, self._clip_norm))
        self._inner.step()
        self._inner.zero_grad(set_to_none=True)
        return norm

    def state(self) -> OptimizerState:
        """Return all that `load` needs to go on with the same bits."""
        tensors = {
            f"{g}.{i}.{name}": value
            for g, group in enumerate(self._inner.param_groups)
            for i, weight in enumerate(group["params"])
            for name, value in self._inner.state[weight].items()
        }
        groups = [{name: float(group[name]) for name in _GROUP_NUMBERS} for group in self._inner.param_groups]
        return {"tensors": tensors, "groups": groups, "train_mode": bool(self._inner.param_groups[0]["train_mode"])}

    def load(self, state: OptimizerState) -> None:
        """Take over a state that `state` returned for an optimizer of the same groups."""
        for group, numbers in zip(self._inner.param_groups, state["groups"], strict=True):
            group.update(numbers, k=int(numbers["k"]), train_mode=state["train_mode"])
        for key, value in state["tensors"].items():
            g, i, name = key.split(".")
            weight = self._inner.param_groups[int(g)]["params"][int(i)]
            self._inner.state[weight][name] = value.to(weight.device)
