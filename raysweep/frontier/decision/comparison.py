"""The compute at which families are compared, for training alone or for training and inference together."""

from dataclasses import dataclass

import numpy as np

from raysweep.frontier.answers.lifetime import MEASURED, usage_of
from raysweep.frontier.laws.laws import Surface
from raysweep.frontier.laws.lifetime import Usage, best_within
from raysweep.frontier.result import Fit

_ATOMS = 1000
"""Of the structure whose MD steps are timed; of no consequence to a cost in FLOPs."""


@dataclass(frozen=True, kw_only=True)
class ComparedAt:
    """A compute in FLOPs, and the inference with the family's models that it pays for as well; None: none."""

    flops: float
    usage: Usage | None = None

    def best(self, law: Surface) -> tuple[float, float, float]:
        """N, D and loss of the best model by a law; not finite where it has none."""
        found = law.optimum(self.flops) if self.usage is None else best_within(law, self.usage, self.flops)
        params, data, loss = (float(value) for value in found)
        return params, data, loss

    def has_best(self, law: Surface) -> bool:
        """Whether there is a best model, of one parameter at the least."""
        found = self.best(law)
        return bool(np.all(np.isfinite(found))) and found[0] >= 1.0

    def training(self, law: Surface) -> float:
        """FLOPs that train the best model."""
        if self.usage is None:
            return self.flops
        params, data, _ = self.best(law)
        return float(law.cost.cost(params, data))


def comparison(fit: Fit, flops: float, inference_steps: float) -> tuple[ComparedAt, str | None]:
    """Place the comparison of a family, and state the assumption about its inference cost; None: no assumption.

    Args:
        fit: of the family.
        flops: of training, and of the inference where there is any.
        inference_steps: atom-steps of inference; 0: none.
    """
    if not inference_steps:
        return ComparedAt(flops=flops), None
    usage, known = usage_of(fit, inference_steps, _ATOMS)
    return ComparedAt(flops=flops, usage=usage), None if known == MEASURED else f"inference is taken as {known}"
