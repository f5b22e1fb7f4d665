"""The budgets at which a trajectory is evaluated, and the learning-rate decay that ends at one of them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from raysweep.core.errors import DataError
from raysweep.core.trial import OptimizerSpec, TrialSpec
from raysweep.training.optimizers import decay_factor


class Budget(NamedTuple):
    """An amount of training.

    Attributes:
        kind: `data` (atoms) or `flops`.
        amount: of that kind.
    """

    kind: str
    amount: float


Spent = Mapping[str, float]
"""The training so far, by kind of budget."""


class Schedule:
    """The budgets of a trajectory and the learning rate on the way to them.

    With schedulefree_adamw all budgets are on one path at a constant rate. With cosine the rate falls to 0 at the last
    budget. With wsd each budget is the end of a branch, on which the rate falls to 0.

    Attributes:
        budgets: those that the data suffices for.
        target: the budget at which the learning rate reaches 0; None while the rate is constant.
    """

    def __init__(self, spec: TrialSpec, limits: Spent | None) -> None:
        """Plan the budgets.

        Args:
            spec: the trajectory.
            limits: the most training that the data allows; not needed without a decay.

        Raises:
            DataError: the data ends before the cosine does.
        """
        self._optimizer: OptimizerSpec = spec.optimizer
        self.target: Budget | None = None
        self.budgets = [Budget("data", amount) for amount in spec.data_budgets]
        self.budgets += [Budget("flops", amount) for amount in spec.flops_budgets]
        if limits is None or not has_decay(spec):
            return
        if self._branches or not self.budgets:
            self.budgets = [budget for budget in self.budgets if budget.amount <= limits[budget.kind]]
            return
        self.target = max(self.budgets)
        kind, amount = self.target
        if amount > limits[kind]:
            raise DataError(
                f"trial {spec.trial_id}: {kind} budget {amount:g} exceeds the {limits[kind]:g} that {spec.structures} "
                f"structures provide in {spec.epochs:g} epochs, and the learning rate of optimizer cosine must reach 0 "
                "at the budget. Lower the budget, or use more structures."
            )

    @property
    def _branches(self) -> bool:
        return self._optimizer.name == "wsd"

    def reached(self, pending: Sequence[Budget], spent: Spent) -> list[Budget]:
        """The pending budgets at which the current path is due for evaluation."""
        if self._branches:
            pending = [self.target] if self.target else []
        return [budget for budget in pending if spent[budget.kind] >= budget.amount]

    def next_branch(self, pending: Sequence[Budget], spent: Spent) -> Budget | None:
        """With wsd on the trunk, the budget whose branch leaves it here; None otherwise."""
        if not self._branches or self.target is not None:
            return None
        due = [budget for budget in pending if spent[budget.kind] >= self._decay_start(budget.amount)]
        return min(due, key=lambda budget: (budget.amount, budget.kind), default=None)

    def rate_factor(self, spent: Spent) -> float:
        """Factor of the learning rate at the next step, warm-up aside."""
        if self.target is None:
            return 1.0
        kind, amount = self.target
        start = self._decay_start(amount)
        return decay_factor(self._optimizer, (spent[kind] - start) / (amount - start))

    def _decay_start(self, amount: float) -> float:
        return 0.0 if self._optimizer.name == "cosine" else (1 - self._optimizer.decay_share) * amount


def has_decay(spec: TrialSpec) -> bool:
    """Whether the learning rate falls to 0 at the end, so that the amount of data must be known at the start."""
    return spec.optimizer.name != "schedulefree_adamw"
