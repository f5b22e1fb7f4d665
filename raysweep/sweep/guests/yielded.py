"""The checks on the points that an entrypoint yields.

Nothing after these checks converts or validates a value again: a number is a Python number, finite and in range, and a
point is at a budget of its trial. What fails is refused at once, by a message with entrypoint, field, value and remedy:
it would fail again at every retry.
"""

import dataclasses
import math
import typing
from collections.abc import Sequence

import pyarrow as pa

from raysweep.core.errors import DivergedError, TrialError
from raysweep.core.hashing import size_json
from raysweep.core.messages import sound
from raysweep.core.points import POINT_SCHEMA, Point
from raysweep.core.trial import NO_DATA, TrialSpec
from raysweep.sweep.guests.protection import shown
from raysweep.sweep.guests.values import OPTIONAL, number

TOLERANCE = 0.1
"""How far from its budget a point may be, as a share of the budget."""
SAME = 1e-6
"""Numbers that differ by no larger share are equal: a budget may have passed through float32."""
_FROM_SPEC = frozenset({"trial_id", "architecture", "size", "seed", "learning_rate"})
_LONGEST_TEXT = 250
_REMEDY = {
    "params": "give the number of trainable parameters, the same at each point",
    "flops": "give the training FLOPs since the beginning of the training",
    "data": "give the atoms seen since the beginning of the training",
    "seconds": "give the seconds of training since its beginning, or leave it None",
    "step": "give the optimizer steps taken since the beginning of the training",
}


class PointCheck:
    """Validates the points of one training in the order in which it yields them."""

    def __init__(self, spec: TrialSpec) -> None:
        self._spec = spec
        self._pending = {"data": list(spec.data_budgets), "flops": list(spec.flops_budgets)}
        self._last: dict[str, Point] = {}
        self._params: int | None = None
        self._off_budget: list[float] = []
        self._count = 0

    @property
    def complete(self) -> bool:
        """Whether there is a point at each budget."""
        return not any(self._pending.values())

    def take(self, value: object) -> Point | None:
        """Convert a yielded value into a point with plain values, None for a point between two budgets.

        Raises:
            TrialError: it is not a point of this trial at its next budget.
            DivergedError: its loss is not finite.
        """
        self._count += 1
        point = self._read(value)
        if not math.isfinite(point.loss):
            raise DivergedError(f"the loss is {point.loss} after {point.step} steps")
        if self._params not in (None, point.params):
            self._refuse("params", point.params, f"was {self._params} at the point before", _REMEDY["params"])
        self._params = point.params
        budget = self._budget_of(point)
        if budget is None:
            self._off_budget.append(point.budget)
            self._refuse_passed(point)
            return None
        self._check_reached(point, budget)
        self._check_ascending(point)
        self._pending[point.budget_kind].pop(0)
        self._refuse_passed(point)
        kept = dataclasses.replace(point, budget=budget)
        self._last[point.budget_kind] = kept
        return kept

    def end(self) -> None:
        """Check that no budget is missing at the end; only compute budgets that the training does not reach may be.

        Raises:
            TrialError: names those that are.
        """
        missing = self._pending["data"]
        if not missing and self._last:
            return
        missing = missing or self._pending["flops"]
        off_budget = f"; its points at {_listed(self._off_budget)} are at no budget" if self._off_budget else ""
        if not self._count:
            off_budget = "; the training yielded no point"
        self._fail(
            f"ended without a point at budget {_listed(missing)}{off_budget}. Yield a point, with `budget` and "
            "`budget_kind`, at each of spec.data_budgets and spec.flops_budgets, those before a checkpoint again"
        )

    def _read(self, value: object) -> Point:
        if not isinstance(value, Point):
            self._fail(
                f"yielded {shown(value)}, a {type(value).__name__}, not a raysweep.core.points.Point; "
                "yield Point(...) at each budget"
            )
        if (named := getattr(value, "trial_id", None)) != self._spec.trial_id:
            self._refuse("trial_id", named, f"not {self._spec.trial_id}", "set trial_id=spec.trial_id")
        read = {
            "trial_id": self._spec.trial_id,
            "architecture": self._spec.architecture,
            "size": size_json(self._spec.size),
            "seed": self._spec.seed,
            "learning_rate": self._spec.learning_rate,
        }
        # The loss before all metrics: a training that has diverged measures nothing.
        for field in sorted(POINT_SCHEMA, key=lambda field: field.name not in ("step", "loss")):
            if field.name not in _FROM_SPEC:
                read[field.name] = self._field(field, getattr(value, field.name, None))
                if field.name == "loss" and not math.isfinite(typing.cast(float, read["loss"])):
                    raise DivergedError(f"the loss is {read['loss']} after {read['step']} steps")
        return Point(**read)  # type: ignore[arg-type]

    def _field(self, field: pa.Field, value: object) -> object:
        if value is None and field.name in OPTIONAL:
            return None
        try:
            if field.type != pa.string():
                return number(value, field.name, whole=field.type == pa.int64())
            if not isinstance(value, str):
                raise ValueError("not a text")
            if len(value) > _LONGEST_TEXT:
                raise ValueError(f"longer than {_LONGEST_TEXT} characters")
            if field.name == "budget_kind" and value not in self._pending:
                raise ValueError("neither 'data' nor 'flops'")
            return sound(value)
        except Exception as error:  # noqa: BLE001 - of other people's types, too
            reason = str(error) if type(error) is ValueError else f"cannot be read: {type(error).__name__}"
            meaning = POINT_SCHEMA.field(field.name).metadata[b"meaning"].decode()
            self._refuse(field.name, value, reason, f"it is: {meaning}")

    def _budget_of(self, point: Point) -> float | None:
        """Return the trial's budget that a point is at; None if it is at none."""
        kind, spec = point.budget_kind, self._spec
        budgets = spec.data_budgets if kind == "data" else spec.flops_budgets
        budget = next((b for b in sorted(budgets) if abs(point.budget - b) <= SAME * b), None)
        if budget is None:
            return None
        if budget not in self._pending[kind]:
            self._refuse("budget", point.budget, "had a point before", "yield one at each budget, ascending")
        before = self._pending[kind][: self._pending[kind].index(budget)]
        if before:
            reason = f"comes before the point at {kind} budget {_listed(before)}"
            self._refuse("budget", point.budget, reason, f"yield a point at each of spec.{kind}_budgets, ascending")
        return budget

    def _check_reached(self, point: Point, budget: float) -> None:
        kind = point.budget_kind
        spent = getattr(point, kind)
        if not (1 - TOLERANCE) * budget <= spent <= self._latest(point, budget):
            self._refuse(
                kind, spent, f"{abs(spent / budget - 1):.0%} off its budget {budget:.10g}",
                f"evaluate within {TOLERANCE:.0%} of the budget or a batch of spec.batch_atoms, and "
                + _REMEDY[kind],
            )  # fmt: skip

    def _check_ascending(self, point: Point) -> None:
        last = self._last.get(point.budget_kind)
        if point.unique_data is not None and point.unique_data > point.data * (1 + SAME):
            self._refuse("unique_data", point.unique_data, f"above data {point.data:.10g}", "count each atom once")
        if last is None:
            return
        for name in ("data", "flops", "step"):
            value, before = getattr(point, name), getattr(last, name)
            if value < before or (name == "flops" and value == before and point.data > last.data):
                reason = f"does not rise: it was {before:.10g} at budget {last.budget:.10g}"
                self._refuse(name, value, reason, _REMEDY[name])

    def _refuse_passed(self, point: Point) -> None:
        """Refuse a training that is beyond a budget at which it gave no point: at its end that costs no less."""
        for kind, pending in self._pending.items():
            spent = getattr(point, kind)
            passed = [budget for budget in pending if spent > self._latest(point, budget, kind)]
            if passed:
                self._refuse(
                    kind, spent, f"there was no point at {kind} budget {_listed(passed)}",
                    f"yield a point, with `budget` and `budget_kind`, at each of spec.{kind}_budgets, ascending",
                )  # fmt: skip

    def _latest(self, point: Point, budget: float, kind: str | None = None) -> float:
        """Return the largest data or FLOPs of a point at a budget: a training ends with a whole batch."""
        batch = 0 if self._spec.fingerprint == NO_DATA else float(self._spec.batch_atoms)
        if (kind or point.budget_kind) == "flops":
            batch *= point.flops / point.data
        return (1 + TOLERANCE) * budget + batch

    def _refuse(self, name: str, value: object, reason: str, remedy: str) -> typing.NoReturn:
        self._fail(f"point {self._count} has {name}={shown(value)}: {reason}; {remedy}")

    def _fail(self, what: str) -> typing.NoReturn:
        raise TrialError(f"entrypoint {self._spec.entrypoint}: {what}")


def _listed(budgets: Sequence[float]) -> str:
    text = ", ".join(f"{budget:.10g}" for budget in budgets[:5])
    return text + (f" and {len(budgets) - 5} more" if len(budgets) > 5 else "")
