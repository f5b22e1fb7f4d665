"""The run that a forecast is about: its size, its cost, its structures, its learning rate."""

import math
from dataclasses import dataclass

import numpy as np

from raysweep.core.errors import RaysweepError, SpaceError
from raysweep.core.hashing import size_json
from raysweep.core.text import knobs, rounded
from raysweep.core.trial import TrialSpec
from raysweep.frontier import Fit
from raysweep.frontier.laws.laws import Surface
from raysweep.storage.forecast_records import Expected, ForecastRate
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.forecasts.sizes import costless, nearest_size
from raysweep.sweep.plan.costs import Cost, CostBook
from raysweep.sweep.plan.designs import Course, courses
from raysweep.sweep.plan.specs import TrialSpecs
from raysweep.sweep.space.facts import DataFacts, data_facts
from raysweep.sweep.space.parts import Size
from raysweep.sweep.space.resolve import Resolved
from raysweep.sweep.space.space import Space
from raysweep.sweep.tuning.horizons import exponent_of, horizon_records
from raysweep.sweep.tuning.rate_choice import RATE_DIGITS
from raysweep.sweep.tuning.rates import known_rates

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
    rate = for_horizon(*_rate(space, resolved.facts, store, family, found.size), store, family, data)
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


def for_horizon(tuned: float, sentence: str, store: TrialStore, family: str, data: float) -> ForecastRate:
    """Correct a learning rate for the horizon, as far as its exponent was measured and is not 0 by chance."""
    record = horizon_records(store.searches()).get(family)
    found = "the exponent was not measured (learning_rate.horizons)" if record is None else exponent_of(record)
    if isinstance(found, str):
        return ForecastRate(rate=tuned, tuned=tuned, sentence=f"{sentence}; not corrected for the horizon: {found}")
    exponent = Expected(value=found.exponent, low=found.low, high=found.high)
    moves = f"it moves as D^{found.exponent:.2f} [{found.low:.2f}, {found.high:.2f}]"
    if not found.matters:
        text = f"{sentence}; {moves}, not distinguishable from 0: not corrected for the horizon"
        return ForecastRate(rate=tuned, tuned=tuned, horizon_exponent=exponent, sentence=text)
    best, low, high = found.rate_at(data)
    text = f"{tuned:g} {sentence}; {moves}: corrected for the horizon, [{low:.3g}, {high:.3g}] there"
    return ForecastRate(rate=rounded(best, RATE_DIGITS), tuned=tuned, horizon_exponent=exponent, sentence=text)


def _rate(space: Space, facts: DataFacts, store: TrialStore, family: str, size: Size) -> tuple[float, str]:
    """Return the learning rate of a size as it was tuned, and where it comes from."""
    rates = {
        place[1]: rate for place, rate in known_rates(TrialSpecs.of(space, facts), store).items() if place[0] == family
    }
    settings, member = space.learning_rate, space.families[family]
    base = member.base_size()
    given = "given by learning_rate.rates" if family in settings.rates else "searched"
    if not rates:
        raise space.error(
            ("learning_rate",),
            f"no learning rate of {family} is known yet; run the sweep first (`raysweep run SPACE`), or give it in "
            "learning_rate.rates",
        )
    if settings.transfer == "mup" or family in settings.rates:
        rate = rates.get(size_json(base), next(iter(rates.values())))
        sentence = f"{given} at {knobs(base)}" + (", carried by muP" if settings.transfer == "mup" else "")
    else:
        rate, sentence = _rate_by_width(rates, member.members(), size)
        sentence = f"searched per size, {sentence}"
    return rate, sentence


def _rate_by_width(rates: dict[str, float], members: tuple[Size, ...], size: Size) -> tuple[float, str]:
    """Continue the rates of the members as a power law in width, or take that of the only one."""
    known = {float(m["width"]): rates[size_json(m)] for m in members if size_json(m) in rates and "width" in m}
    if size_json(size) in rates:
        return rates[size_json(size)], "at this size"
    if len(known) < 2 or "width" not in size:
        return next(iter(rates.values())), "taken from another size"
    slope, constant = np.polyfit(np.log(list(known)), np.log(list(known.values())), 1)
    rate = float(np.exp(constant + slope * math.log(float(size["width"]))))
    return float(f"{rate:.6g}"), "continued as a power law in width"


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
