"""The optimizer of a trajectory, and its state as tensors and plain numbers (never a pickle)."""

import math
from abc import ABC, abstractmethod
from typing import TypedDict

import torch
from schedulefree import AdamWScheduleFree
from torch import nn

from raysweep.core.trial import OptimizerSpec
from raysweep.models.mup import RateGroup

_GROUP_NUMBERS = ("k", "weight_sum", "lr_max", "scheduled_lr")


class OptimizerState(TypedDict):
    """`tensors` by "<group>.<index>.<name>", and the numbers of each parameter group."""

    tensors: dict[str, torch.Tensor]
    groups: list[dict[str, float]]
    train_mode: bool


class Optimizer(ABC):
    """Updates the weights of a network; each group's rate is the learning rate times muP's multiplier."""

    _inner: torch.optim.Optimizer

    def __init__(self, groups: list[RateGroup], learning_rate: float, spec: OptimizerSpec) -> None:
        self.parameters = [weight for group in groups for weight in group.parameters]
        self._clip_norm = spec.clip_norm
        self._groups = [{"params": list(group.parameters), "lr": learning_rate * group.multiplier} for group in groups]
        self._rates = [learning_rate * group.multiplier for group in groups]

    @abstractmethod
    def train(self) -> None:
        """Switch to the weights at which gradients are taken."""

    @abstractmethod
    def eval(self) -> None:
        """Switch to the weights that are evaluated."""

    def step(self, decay: float = 1.0) -> float:
        """Clip the gradients, update the weights, and return the gradient norm before clipping.

        Args:
            decay: factor of the learning rate, warm-up aside.
        """
        norm = float(nn.utils.clip_grad_norm_(self.parameters, self._clip_norm))
        self._set_rates(decay)
        self._inner.step()
        self._inner.zero_grad(set_to_none=True)
        return norm

    def state(self) -> OptimizerState:
        """Everything that `load` needs to continue bit for bit; the tensors are the optimizer's own, not copies."""
        tensors = {
            f"{g}.{i}.{name}": value
            for g, group in enumerate(self._inner.param_groups)
            for i, weight in enumerate(group["params"])
            for name, value in self._inner.state[weight].items()
        }
        return {"tensors": tensors, "groups": self._numbers(), "train_mode": self._train_mode()}

    def load(self, state: OptimizerState) -> None:
        """Load the `state` of an optimizer of the same groups."""
        for key, value in state["tensors"].items():
            g, i, name = key.split(".")
            weight = self._inner.param_groups[int(g)]["params"][int(i)]
            value = value.to(weight.device)
            if value.shape == weight.shape:  # in the memory format of the weight, which fused optimizers rely on
                value = torch.empty_like(weight, dtype=value.dtype, requires_grad=False).copy_(value)
            self._inner.state[weight][name] = value
        self._load_numbers(state["groups"], state["train_mode"])

    @abstractmethod
    def _set_rates(self, decay: float) -> None: ...

    @abstractmethod
    def _numbers(self) -> list[dict[str, float]]: ...

    @abstractmethod
    def _train_mode(self) -> bool: ...

    @abstractmethod
    def _load_numbers(self, groups: list[dict[str, float]], train_mode: bool) -> None: ...


class ScheduleFree(Optimizer):
    """Schedule-free AdamW (Defazio et al., arXiv 2405.15682): every evaluation is a valid point, no horizon needed.

    Weights are switched between the sequence that gradients are taken at (`train`) and the averaged one that is
    evaluated (`eval`).
    """

    _inner: AdamWScheduleFree

    def __init__(self, groups: list[RateGroup], learning_rate: float, spec: OptimizerSpec) -> None:
        super().__init__(groups, learning_rate, spec)
        self._inner = AdamWScheduleFree(
            self._groups, betas=spec.betas, weight_decay=spec.weight_decay, warmup_steps=spec.warmup_steps
        )

    def train(self) -> None:
        """Switch to the weights at which gradients are taken."""
        self._inner.train()

    def eval(self) -> None:
        """Switch to the weights that are evaluated."""
        self._inner.eval()

    def _set_rates(self, decay: float) -> None:
        assert decay == 1.0, "schedule-free AdamW has no decay"

    def _numbers(self) -> list[dict[str, float]]:
        return [{name: float(group[name]) for name in _GROUP_NUMBERS} for group in self._inner.param_groups]

    def _train_mode(self) -> bool:
        return bool(self._inner.param_groups[0]["train_mode"])

    def _load_numbers(self, groups: list[dict[str, float]], train_mode: bool) -> None:
        for group, numbers in zip(self._inner.param_groups, groups, strict=True):
            group.update(numbers, k=int(numbers["k"]), train_mode=train_mode)


class Scheduled(Optimizer):
    """AdamW (Loshchilov & Hutter, arXiv 1711.05101) with warm-up and a decay that its caller sets."""

    _inner: torch.optim.AdamW

    def __init__(self, groups: list[RateGroup], learning_rate: float, spec: OptimizerSpec) -> None:
        super().__init__(groups, learning_rate, spec)
        self._warmup_steps = spec.warmup_steps
        self._taken = 0
        self._inner = torch.optim.AdamW(self._groups, betas=spec.betas, weight_decay=spec.weight_decay, fused=True)

    def train(self) -> None:
        """Do nothing: gradients are taken where the weights are evaluated."""

    def eval(self) -> None:
        """Do nothing: the weights are evaluated where gradients are taken."""

    def _set_rates(self, decay: float) -> None:
        self._taken += 1
        factor = decay * (min(1.0, self._taken / self._warmup_steps) if self._warmup_steps else 1.0)
        for group, rate in zip(self._inner.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor

    def _numbers(self) -> list[dict[str, float]]:
        return [{"taken": self._taken} for _ in self._rates]

    def _train_mode(self) -> bool:
        return True

    def _load_numbers(self, groups: list[dict[str, float]], train_mode: bool) -> None:
        self._taken = int(groups[0]["taken"])


def make_optimizer(groups: list[RateGroup], learning_rate: float, spec: OptimizerSpec) -> Optimizer:
    """Make the optimizer that a specification names."""
    kind = ScheduleFree if spec.name == "schedulefree_adamw" else Scheduled
    return kind(groups, learning_rate, spec)


def decay_factor(spec: OptimizerSpec, share: float) -> float:
    """The factor of the learning rate after `share` (0 to 1) of the decay: 1 at 0, 0 at 1.

    Sources: cosine, arXiv 1608.03983; linear and 1 - sqrt after a constant rate, arXiv 2405.18392.
    """
    share = min(max(share, 0.0), 1.0)
    if spec.name == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * share))
    return 1.0 - (math.sqrt(share) if spec.decay == "sqrt" else share)
