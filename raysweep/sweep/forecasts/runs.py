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

_LARGEST_MODEL = 1e11
"""Parameters beyond which a law is not asked for a network: its width would take minutes to find."""
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


@dataclass(frozen=True, kw_only=True)
class Length:
    """How long a run is: one of both is given."""

    flops: float | None = None
    structures: int | None = None
    """Seen by the end."""
    epochs: float = 1.0
    """Passes that these make over different ones; a compute makes as few passes as the store allows."""


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
    if not 0 < optimum.params.value < _LARGEST_MODEL:
        raise space.error(
            ("families", family),
            f"the law puts the best model of {family} at {flops:g} FLOP at {optimum.params.value:.3g} parameters, "
            f"which is no network that can be built here: ask for less than {_LARGEST_MODEL:g}, at a compute nearer "
            "to that of the points",
        )
    found = nearest_size(space, resolved.facts, family, optimum.params.value, known)
    notes = () if found.solved else (f"{family} has no width to solve for: the nearest of its sizes",)
    return run_of_size(resolved, store, family, found.size, Length(flops=flops), fit=fit, notes=notes)


def run_of_size(
    resolved: Resolved,
    store: TrialStore,
    family: str,
    size: Size,
    length: Length,
    *,
    fit: Fit | None = None,
    rate: float | None = None,
    seed: int | None = None,
    notes: tuple[str, ...] = (),
) -> ForecastRun:
    """Work out the run of one size.

    Args:
        resolved: the search space, with its structures known.
        store: its storage; a cost that is measured here is kept there.
        family: label of the family.
        size: its knobs.
        length: of the run.
        fit: of the family, for how far too few structures would go; None: unknown.
        rate: learning rate; None: as the sweep tuned it, carried over to this size and horizon.
        seed: None: the grid's first.
        notes: what is known of the run already.

    Raises:
        SpaceError: there are too few structures, or no learning rate is known.
        RaysweepError: what the size costs is not known.
    """
    space, known = resolved.space, resolved.facts
    assert known is not None
    cost = cost_of_size(space, known, store, family, size)
    if length.structures is None:
        assert length.flops is not None
        facts = _facts(space, length.flops / cost.flops_per_atom)
        course = _course(space, facts, length.flops / cost.flops_per_atom)
        _check_enough(facts, course, cost, length.flops, family)
        if course.epochs > space.grid.epochs:
            raise _too_few(space, facts, course, fit, length.flops, family)
    else:
        facts, course = _named_course(space, length.structures, length.epochs)
    notes += _repeated(course)
    data = facts.atoms(course.seen, course.subset)
    chosen = forecast_rate(space, known, store, family, size, data) if rate is None else _given_rate(rate)
    if chosen.rate != chosen.tuned and not space.learning_rate.horizon_grid:
        notes += (f"the grid was trained at {chosen.tuned:g}, so the run may do better than its law says",)
    specs, seed = TrialSpecs.of(space, facts), space.grid.seeds[0] if seed is None else seed
    return ForecastRun(
        family=family,
        spec=specs.grid(family, size, seed, chosen.rate, course),
        cost=cost,
        structures=course.seen,
        data=data,
        rate=chosen,
        notes=notes,
    )


def _check_enough(facts: DataFacts, course: Course, cost: Cost, flops: float, family: str) -> None:
    """Refuse a compute that ends within the first structure, whose run would spend more than was asked for."""
    least = facts.atoms(course.seen, course.subset) * cost.flops_per_atom
    if course.seen == 1 and least > 1.5 * flops:
        raise RaysweepError(
            f"{flops:g} FLOP do not suffice for one structure: the smallest run of this model of {family} costs "
            f"{least:.3g} FLOP; ask for more"
        )


def _repeated(course: Course) -> tuple[str, ...]:
    """Return the note on a run that repeats its structures; none where it does not."""
    if course.epochs <= 1:
        return ()
    passes = f"{course.epochs:.3g} passes over {course.subset} structures"
    return (f"{passes}; the law was fitted to D with repeats counted in full",)


def _given_rate(rate: float) -> ForecastRate:
    return ForecastRate(rate=rate, tuned=rate, sentence="given")


def _named_course(space: Space, seen: int, epochs: float) -> tuple[DataFacts, Course]:
    """Return the course that sees so many structures in so many passes, and the facts that count their atoms."""
    subset = math.ceil(seen / epochs)
    facts = data_facts(space, at_least=subset)
    assert facts is not None
    if facts.structures is not None and subset > facts.structures:
        raise space.error(
            ("data", "store"),
            f"{seen} structures in {epochs:g} epochs need {subset} different ones, and the store has "
            f"{facts.structures} for training; ask for fewer, allow repeats (epochs of "
            f"{seen / facts.structures:.3g} or more), or make a store of at least "
            f"{math.ceil(subset / _TRAINING_SHARE)} structures (data.make.structures, `raysweep data make`) and run "
            "the sweep on it",
        )
    return facts, Course(subset=subset, epochs=seen / subset, structures=(*_along(space, seen), seen), flops=())


def _along(space: Space, seen: int) -> tuple[int, ...]:
    """Return the data budgets of the grid before the end, where evaluations there cost no training."""
    if space.training.optimizer.name != "schedulefree_adamw":
        return ()
    return tuple(n for n in space.grid.structures if n < seen)


def cost_of_size(space: Space, facts: DataFacts, store: TrialStore, family: str, size: Size) -> Cost:
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
    return Course(subset=subset, epochs=seen / subset, structures=(*_along(space, seen), seen), flops=())


def _too_few(space: Space, facts: DataFacts, course: Course, fit: Fit | None, flops: float, family: str) -> SpaceError:
    """State how many structures a run needs, and the compute up to which there are enough."""
    assert facts.cumulative is not None
    epochs = space.grid.epochs
    reach = None if fit is None else _reach(fit, float(facts.cumulative[-1]) * epochs)
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
