"""The run that a forecast is about: its size, its cost, its structures, its learning rate."""

import math
from dataclasses import dataclass

from raysweep.core.errors import RaysweepError, SpaceError
from raysweep.core.trial import TrialSpec
from raysweep.frontier import Fit
from raysweep.frontier.laws.laws import Surface
from raysweep.storage.forecast_records import ForecastRate
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.forecasts.rates import forecast_rate
from raysweep.sweep.forecasts.sizes import costless, nearest_size
from raysweep.sweep.plan.costs import Cost, CostBook
from raysweep.sweep.plan.designs import Course, courses
from raysweep.sweep.plan.specs import TrialSpecs
from raysweep.sweep.space.facts import DataFacts, data_facts
from raysweep.sweep.space.parts import Size
from raysweep.sweep.space.resolve import Resolved
from raysweep.sweep.space.space import Space

_SPARE = 1.05
"""Structures whose atoms are counted, over those that the mean number of atoms asks for."""
_TRAINING_SHARE = 0.9
"""Of the structures that are made; a tenth is held out."""


@dataclass(frozen=True, kw_only=True)
class ForecastRun:
    """A run that could be trained."""

    family: str
    spec: TrialSpec
    cost: Cost
    structures: int
    """Seen by the end."""
    data: float
    """Atoms seen by the end."""
    rate: ForecastRate
    notes: tuple[str, ...]

    @property
    def flops(self) -> float:
        """Training FLOPs of the run."""
        return self.cost.flops_per_atom * self.data

    @property
    def seconds(self) -> float:
        """Device seconds of the run, on the machine that measured its cost."""
        return self.cost.seconds_per_atom * self.data


def run_at(
    resolved: Resolved, store: TrialStore, family: str, fit: Fit, flops: float, known: dict[str, float]
) -> ForecastRun:
    """Find the run of a family that spends a compute best, by the fit.

    Args:
        resolved: the search space, with its structures known.
        store: its storage; a cost that is measured here is kept there.
        family: label of the family.
        fit: of the family.
        flops: the compute.
        known: parameters of the family's sizes, by size as JSON.

    Raises:
        SpaceError: there are too few structures, or no learning rate is known.
        RaysweepError: what the size costs is not known.
    """
    space = resolved.space
    assert resolved.facts is not None
    optimum = fit.optimal(flops)
    found = nearest_size(space, resolved.facts, family, optimum.params.value, known)
    notes = [] if found.solved else [f"{family} has no width to solve for: the nearest of its sizes"]
    cost = _cost(space, resolved.facts, store, family, found.size)
    facts = _facts(space, flops / cost.flops_per_atom)
    course = _course(space, facts, flops / cost.flops_per_atom)
    if course.epochs > space.grid.epochs:
        raise _too_few(space, facts, course, fit, flops, family)
    if course.epochs > 1:
        notes.append(
            f"{course.epochs:.3g} passes over {course.subset} structures; the law was fitted to D with repeats "
            "counted in full"
        )
    data = facts.atoms(course.seen, course.subset)
    rate = forecast_rate(space, resolved.facts, store, family, found.size, data)
    if rate.rate != rate.tuned and not space.learning_rate.horizon_grid:
        notes.append(f"the grid was trained at {rate.tuned:g}, so the run may do better than its law says")
    spec = TrialSpecs.of(space, facts).grid(family, found.size, space.grid.seeds[0], rate.rate, course)
    return ForecastRun(
        family=family,
        spec=spec,
        cost=cost,
        structures=course.seen,
        data=data,
        rate=rate,
        notes=tuple(notes),
    )


def _cost(space: Space, facts: DataFacts, store: TrialStore, family: str, size: Size) -> Cost:
    """Measure what a size costs (seconds), or look it up."""
    book = CostBook(space.resources, space.data, store, measure=True)
    probe = courses(space.grid, space.training.optimizer)[0]
    cost = book.cost(TrialSpecs.of(space, facts).grid(family, size, space.grid.seeds[0], 1.0, probe))
    book.save()
    if cost is None:
        raise RaysweepError(costless(space))
    return cost


def _facts(space: Space, atoms: float) -> DataFacts:
    """Return facts that count the atoms of as many structures as hold these, or of all where they are too few."""
    facts = data_facts(space)
    assert facts is not None
    if facts.cumulative is None or atoms <= facts.cumulative[-1]:
        return facts
    mean = float(facts.cumulative[-1]) / len(facts.cumulative)
    for count in (math.ceil(_SPARE * atoms / mean) + 100, facts.structures or 0):
        facts = data_facts(space, at_least=count)
        assert facts is not None
        assert facts.cumulative is not None
        if atoms <= facts.cumulative[-1] or len(facts.cumulative) == facts.structures:
            break
    return facts


def _course(space: Space, facts: DataFacts, atoms: float) -> Course:
    """Return the course that sees so many atoms: different ones as far as there are any, then repeats."""
    if facts.cumulative is None or atoms <= facts.cumulative[-1]:
        seen = subset = facts.subset_with(atoms)
    else:
        assert facts.structures is not None
        subset = facts.structures
        seen = facts.seen_with(atoms, subset)
    earlier: tuple[int, ...] = ()
    if space.training.optimizer.name == "schedulefree_adamw":  # its evaluations cost no training
        earlier = tuple(n for n in space.grid.structures if n < seen)
    return Course(subset=subset, epochs=seen / subset, structures=(*earlier, seen), flops=())


def _too_few(space: Space, facts: DataFacts, course: Course, fit: Fit, flops: float, family: str) -> SpaceError:
    """Say how many structures a run needs, and up to which compute there are enough."""
    assert facts.cumulative is not None
    epochs = space.grid.epochs
    reach = _reach(fit, float(facts.cumulative[-1]) * epochs)
    until = "" if reach is None else f", or forecast at about {reach:.2g} FLOP or less, as far as these go"
    passes = "" if epochs == 1 else f" in at most {epochs:g} passes (grid.epochs)"
    needed = math.ceil(course.seen / epochs)
    return space.error(
        ("data", "store") if space.data else ("grid",),
        f"the best run of {family} at {flops:g} FLOP sees {course.seen} structures{passes}, so it needs {needed} "
        f"different ones, and the store has {facts.structures} for training; make a store of at least "
        f"{math.ceil(needed / _TRAINING_SHARE)} structures (data.make.structures, `raysweep data make`) and run the "
        f"sweep on it, raise grid.epochs to allow repeats{until}",
    )


def _reach(fit: Fit, atoms: float) -> float | None:
    """Return the compute whose best run sees so many atoms, by the fit."""
    if not isinstance(fit.known, Surface):
        return None
    low, high = math.log(float(fit.samples.cost.min())), math.log(float(fit.samples.cost.max())) + 30
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if float(fit.known.optimum(math.exp(middle))[1]) > atoms else (middle, high)
    return math.exp(low)
