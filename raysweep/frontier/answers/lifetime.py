"""The cheapest model over its life, as a fit answers it: from the measured cost of inference to N*, D* and cost."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from raysweep.core.errors import FrontierError
from raysweep.frontier.answers.record import FitRecord
from raysweep.frontier.answers.uncertainty import Uncertainty
from raysweep.frontier.answers.values import Answer
from raysweep.frontier.fitting.costs import COUNTED, TIMED, fit_step_cost
from raysweep.frontier.laws.laws import Surface
from raysweep.frontier.laws.lifetime import AtomStepCost, Usage, best_within, cheapest
from raysweep.frontier.laws.quantities import Law, Quantity
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.points.inference import MD_MS

MEASURED = "measured"
A_THIRD = "a third of the training FLOPs of an atom: the points have no inference_flops"
"""A forward pass costs a third of a training step, its backward pass twice as much (2001.08361), forces or none."""
LEAST_SIZES = 2
NOTHING = AtomStepCost(log_scale=0.0, power=0.0)


@dataclass(frozen=True, kw_only=True)
class Goal:
    """The goal for which the cheapest model is searched.

    Attributes:
        total: cost of training and inference together. loss: to be reached; one of the two is None.
        steps: atom-steps of inference.
        unique: amount of distinct data; None: unlimited.
    """

    total: float | None
    loss: float | None
    steps: float
    unique: float | None = None

    def model(self, law: Surface, usage: Usage) -> tuple[Floats, Floats, Floats, Floats]:
        """N, D, total cost and loss by one law, or by each of its refits."""
        if self.loss is not None:
            params, data, total = cheapest(law, usage, self.loss, self.unique)
            return params, data, total, np.full(np.shape(total), self.loss)
        assert self.total is not None
        params, data, loss = best_within(law, usage, self.total, self.unique)
        return params, data, np.full(np.shape(loss), self.total), loss


@dataclass(frozen=True, kw_only=True)
class LifetimeAnswers:
    """N, D and loss of the cheapest model, and its cost: total = training + inference."""

    params: Answer
    data: Answer
    loss: Answer
    total: Answer
    training: Answer
    inference: Answer


def usage_of(record: FitRecord, steps: float, atoms: int) -> tuple[Usage, str]:
    """The cost of inference with a family's models, in the fit's unit, and where it is known from.

    Args:
        record: the fit.
        steps: atom-steps of inference.
        atoms: of the structure whose MD steps were timed, for a fit that counts seconds.

    Raises:
        FrontierError: it was not measured; names the column and the remedy.
    """
    if steps == 0:
        return Usage(steps=0.0, step=NOTHING), MEASURED
    if record.cost_name == "seconds":
        milliseconds = md_step_cost(record, atoms, "optimal(inference_steps=...)")
        per_atom = float(np.log(1e-3 / atoms))
        step = AtomStepCost(
            log_scale=milliseconds.log_scale + per_atom,
            power=milliseconds.power,
            floor=milliseconds.floor * 1e-3 / atoms,
        )
        return Usage(steps=steps, step=step), MEASURED
    sizes, flops = (
        (np.empty(0), np.empty(0)) if record.inference is None else record.inference.measured("inference_flops")
    )
    if sizes.size >= LEAST_SIZES:
        return Usage(steps=steps, step=fit_step_cost(sizes, flops, COUNTED)), MEASURED
    samples = record.samples
    sizes = np.unique(samples.params)
    thirds = [np.median((samples.cost / samples.data)[samples.params == size]) / 3.0 for size in sizes]
    return Usage(steps=steps, step=fit_step_cost(sizes, np.array(thirds), COUNTED)), A_THIRD


def md_step_cost(record: FitRecord, atoms: int, query: str) -> AtomStepCost:
    """Milliseconds of an MD step of a structure of 100 or 1,000 atoms as a function of N.

    Raises:
        FrontierError: there is no such column, it has values at fewer than two sizes, or several devices were timed.
    """
    if atoms not in MD_MS:
        raise FrontierError(
            f"{query}: MD steps are timed for {' and '.join(map(str, MD_MS))} atoms, not for {atoms!r:.40}"
        )
    name, measured = MD_MS[atoms], record.inference
    sizes, values = (np.empty(0), np.empty(0)) if measured is None else measured.measured(name)
    if measured is None or sizes.size < LEAST_SIZES:
        raise FrontierError(
            f"{query}: MD steps of {atoms} atoms were timed at {sizes.size} of the sizes, and two are needed; the "
            f"points need a column {name}, which sweeps write (resources.inference: true)"
        )
    if len(measured.devices) > 1:
        raise FrontierError(
            f"{query}: MD steps were timed on several devices ({', '.join(measured.devices)}), which do not mix; fit "
            "the points of one of them"
        )
    return fit_step_cost(sizes, values, TIMED)


def over_life(known: Uncertainty, goal: Goal, usage: Usage, level: float) -> LifetimeAnswers:
    """Answer a goal, each number with its interval.

    Raises:
        FrontierError: no model meets it.
    """
    memory: dict[int, tuple[Law, tuple[Floats, ...]]] = {}

    def found(law: Law) -> tuple[Floats, ...]:
        assert isinstance(law, Surface)
        if id(law) not in memory:
            params, data, total, loss = goal.model(law, usage)
            memory[id(law)] = law, (params, data, loss, total, law.cost.cost(params, data), usage.cost(params))
        return memory[id(law)][1]

    def quantity(place: int) -> Quantity:
        value: Callable[[Law], Floats] = lambda law: found(law)[place]  # noqa: E731
        return Quantity(value=value, positive=True)

    _refuse_impossible(known.estimate, goal, usage, float(found(known.estimate)[2]), float(found(known.estimate)[3]))
    params, data, loss, total, training = (known.answer(quantity(place), level) for place in range(5))
    inference = known.answer(quantity(5), level) if goal.steps else Answer(value=0.0, interval=None)
    if goal.loss is None:
        total = Answer(value=total.value, interval=None)
    else:
        loss = Answer(value=goal.loss, interval=None)
    return LifetimeAnswers(params=params, data=data, loss=loss, total=total, training=training, inference=inference)


def _refuse_impossible(law: Law, goal: Goal, usage: Usage, loss: float, total: float) -> None:
    if goal.loss is not None and not np.isfinite(total):
        limit = f"E = {float(law.E):.4g}" + (", less with repeated data" if goal.unique is not None else "")
        raise FrontierError(
            f"optimal(loss={goal.loss:g}): no model reaches it by this law, whose asymptote is {limit}; ask for more"
        )
    if goal.total is not None and not np.isfinite(loss):
        raise FrontierError(
            f"optimal(flops={goal.total:g}, inference_steps={goal.steps:g}): inference alone costs "
            f"{goal.steps * usage.step.floor:.3g} or more with the smallest model; ask for fewer steps"
        )
