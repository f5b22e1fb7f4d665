"""The plan: the joint grid covered by the fewest trajectories, and what is known about them before they run."""

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from raysweep.sweep.changed_code import codes
from raysweep.sweep.changed_code import note as code_note
from raysweep.sweep.costs import Cost, CostBook
from raysweep.sweep.designs import Course, courses, refuse_unreached, thin_budgets, unreached_notes
from raysweep.sweep.earlier import EarlierTrials
from raysweep.sweep.facts import DataFacts, data_facts, with_structures
from raysweep.sweep.mup import check_mup
from raysweep.sweep.space import Space, check_sizes
from raysweep.sweep.space_parts import Size
from raysweep.sweep.totals import Totals, family_rows, missing, slots, totals
from raysweep.sweep.trial_store import Assignment, TrialStore
from raysweep.text import columns
from raysweep.trial import TrialSpec, TrialState

GRID = "grid"
LEARNING_RATE = "learning_rate"

Rates = Mapping[tuple[str, str], float]
"""Learning rates by (family, size as JSON): of the base size where muP carries them, else of each size."""


def size_text(size: Size) -> str:
    """Return a size as JSON with sorted keys, as points carry it."""
    return json.dumps(size, sort_keys=True)


@dataclass(frozen=True, kw_only=True)
class PlannedTrial:
    """One trajectory of the grid stage. Fields are None until they are known."""

    family: str
    architecture: str
    size: Size
    seed: int
    structures: int
    """Structures that the largest data budget sees, or the largest of the grid where there is none."""
    points: int
    """Budgets at which it is evaluated, at most."""
    atoms: tuple[float, ...] = ()
    """Seen at each of these points, ascending; empty where what sizes cost is not known."""
    learning_rate: float | None = None
    """Given, or tuned."""
    spec: TrialSpec | None
    """None until the learning rate, the data and, where trials are chosen by cost, the cost are known."""
    state: TrialState = TrialState.PLANNED
    params: int | None = None
    data: float | None = None
    """Atoms seen at the end."""
    flops: float | None = None
    """All that is spent, on every branch (wsd)."""
    naive_flops: float | None = None
    """What its points would cost with a run for each of them."""
    device_seconds: float | None = None
    disk_bytes: float | None = None

    @property
    def ended(self) -> bool:
        """Whether it is not run again."""
        return self.state.is_final


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a sweep would run, and what is done of it."""

    name: str
    storage: str
    trials: tuple[PlannedTrial, ...]
    tuning_trials: int
    """Trials of the learning-rate stage, without widening; ASHA stops most of them early."""
    waits_for_data: bool = False
    """Whether the structure store is still to be made, so that neither atoms nor costs are known."""
    slots: int | None = None
    """Trials that run at once on this cluster, None where that is not known."""
    price_per_device_hour: float | None = None
    notes: tuple[str, ...] = ()
    """What else a person should know, a sentence each."""

    @property
    def tuned(self) -> bool:
        """Whether all learning rates are known."""
        return all(trial.learning_rate is not None for trial in self.trials)

    @property
    def identified(self) -> bool:
        """Whether all trial ids are known."""
        return all(trial.spec is not None for trial in self.trials)

    def to_dict(self) -> dict[str, object]:
        """Return the plan as plain values, for `--json`."""
        rows = []
        for trial in self.trials:
            row = dataclasses.asdict(dataclasses.replace(trial, spec=None))
            del row["spec"]
            rows.append({**row, "trial_id": trial.spec.trial_id if trial.spec else None})
        grid: dict[str, object] = {
            "trajectories": len(self.trials),
            "done": sum(trial.state.is_final for trial in self.trials),
            "points": sum(trial.points for trial in self.trials),
        }
        for name in ("flops", "device_seconds", "disk_bytes"):
            grid[name] = _total([getattr(trial, name) for trial in self.trials])
        return {
            "name": self.name,
            "storage": self.storage,
            "waits_for_data": self.waits_for_data,
            "tuned": self.tuned,
            "tuning_trials": self.tuning_trials,
            "totals": grid,
            "families": [{**dataclasses.asdict(row), "saving": row.saving} for row in self.totals()],
            "notes": list(self.notes),
            "trials": rows,
        }

    def assignments(self) -> list[Assignment]:
        """Return which trial serves which family, for the trials whose learning rate is known."""
        return [assignment(t.spec, t.family, GRID) for t in self.trials if t.spec is not None]

    def totals(self) -> list[Totals]:
        """Return the totals of each family, and those of the whole grid as the last."""
        families = dict.fromkeys(trial.family for trial in self.trials)
        parts = [(label, [trial for trial in self.trials if trial.family == label]) for label in families]
        parts += [("all", list(self.trials))] if len(parts) > 1 else []
        return [totals(label, trials, self.slots, self.price_per_device_hour) for label, trials in parts]

    def table(self) -> str:
        """Return the plan as text, a line for each family and size."""
        head = ("family", "size", "trials", "done", "points", "N", "D atoms", "C FLOP", "device s", "rate")
        rows = [head]
        for group in _groups(self.trials):
            first = group[0]
            rows.append(
                (
                    first.family,
                    " ".join(f"{k}={v}" for k, v in first.size.items()),
                    str(len(group)),
                    str(sum(t.state.is_final for t in group)),
                    str(sum(t.points for t in group)),
                    _number(first.params),
                    _number(max((t.data for t in group if t.data is not None), default=None)),
                    _number(_total([t.flops for t in group])),
                    _number(_total([t.device_seconds for t in group])),
                    "to be tuned" if first.learning_rate is None else f"{first.learning_rate:g}",
                )
            )
        return "\n".join([columns(rows), "", columns(family_rows(self.totals())), self._summary(), *self.notes])

    def _summary(self) -> str:
        done = sum(trial.state.is_final for trial in self.trials)
        text = f"{len(self.trials)} trajectories, {done} done, {sum(t.points for t in self.trials)} points"
        seconds = _total([t.device_seconds for t in self.trials if not t.state.is_final])
        if seconds is not None:
            text += f"; {seconds:.0f} device seconds to go"
        saving = self.totals()[-1].saving if self.trials else None
        if saving is not None:
            text += f"; a run for each point would cost {saving:.1f} times the FLOPs"
        if self.tuning_trials and not self.tuned:
            text += f"; before them {self.tuning_trials} learning-rate trials, most stopped early"
        if self.waits_for_data:
            text += "\n?: known once the structure store is made, by `raysweep data make` or by the run itself"
        return text


def plan(space: Space) -> Plan:
    """Return what `run` would do, without doing it; nothing is written but measured costs.

    With RAY_ADDRESS the nodes of that cluster are asked what they have.

    Raises:
        SpaceError: the search space asks for more structures than its store has, or a trial fits on no node.
    """
    from raysweep.sweep.identity import refuse_other_sweep
    from raysweep.sweep.ladder import with_sizes
    from raysweep.sweep.rates import given_rates, known_rates  # rates reads plans too

    check_sizes(space)
    store = TrialStore(space.storage)
    refuse_other_sweep(space, store)
    space = with_sizes(space, store)
    facts = data_facts(space)
    check_mup(space, facts)
    space = with_structures(space, facts)
    rates = known_rates(space, facts, store) if facts is not None else given_rates(space)
    found = make_plan(space, facts, rates, earlier=EarlierTrials(space))
    if space.adaptive.enabled:
        from raysweep.sweep.rounds import Rounds

        found = Rounds(space, store, lambda _: None).described(found)
    if os.environ.get("RAY_ADDRESS"):
        from raysweep.sweep.resources import cluster_slots  # imports Ray

        found = dataclasses.replace(found, slots=cluster_slots(space))
    told = [note for note in (_to_be_made(space, facts), missing(space), code_note(store, codes(space, store))) if note]
    return dataclasses.replace(found, notes=(*store.notes, *found.notes, *told))


def _to_be_made(space: Space, facts: DataFacts | None) -> str | None:
    if facts is not None or space.data is None or space.data.make is None:
        return None
    make = space.data.make
    return (
        f"data to be made: {make.structures} structures of preset {make.preset}, seed {make.seed}, {space.data.store}"
    )


def make_plan(
    space: Space,
    facts: DataFacts | None,
    rates: Rates,
    *,
    measure: bool = True,
    earlier: EarlierTrials | None = None,
) -> Plan:
    """Return the plan for known learning rates.

    Args:
        space: the search space.
        facts: about its structures; None where the store is not made yet.
        rates: the learning rates that are known.
        measure: whether sizes whose cost is not known yet are measured (seconds each).
        earlier: trials of other storages, whose ends count as if they were here.
    """
    store = TrialStore(space.storage)
    begun = set(store.ids())
    book = CostBook(space, store, measure=measure)
    trials = []
    members: Counter[tuple[str, float]] = Counter()
    costs: dict[str, list[Cost | None]] = {label: [] for label in space.families}
    designed = courses(space)
    by_cost = space.grid.design == "isoflop" or space.adaptive.enabled or bool(space.grid.device_hours)
    for label, family in space.families.items():
        for size in family.members():
            rate = rates.get((label, size_text(_rate_size(space, label, size))))
            for seed, course in product(space.seeds(), designed):
                probe = grid_spec(space, facts, label, size, seed, rate or 1.0, course) if facts else None
                cost = book.cost(probe) if probe else None
                costs[label].append(cost)
                ends = [course]
                if facts and cost:
                    ends = [course.timed(cost)]
                    if space.grid.atoms_per_param is not None:
                        ends = [ends[0].isoflop(space.grid.atoms_per_param, facts, cost)]
                        members.update((label, flops) for flops in ends[0].flops if seed == space.grid.seeds[0])
                    ends = [end for end in ends if end.possible(facts, cost)]
                    if space.adaptive.enabled:
                        ends = [shorter for end in ends for shorter in end.lengths(facts, cost)]
                for end in ends:
                    spec = None
                    if facts and rate is not None and (cost or not by_cost):
                        spec = probe if end == course else grid_spec(space, facts, label, size, seed, rate, end)
                    state = store.standing(spec).state if spec and spec.trial_id in begun else TrialState.PLANNED
                    if earlier and spec and not state.is_final:
                        state = earlier.state(spec)
                    if state == TrialState.STOPPED:  # by ASHA, as a tuning trial: as a grid trial it is not done
                        state = TrialState.PLANNED
                    planned = _planned(space, facts, label, size, seed, end, spec, state, cost)
                    trials.append(dataclasses.replace(planned, learning_rate=rate))
    book.save()
    if facts:
        refuse_unreached(space, facts, designed, costs, members)
    searched = [label for label in space.families if label not in space.learning_rate.rates]
    cells = sum(len(space.families[label].tuned_sizes(space.learning_rate)) for label in searched)
    return Plan(
        name=space.name,
        storage=space.storage,
        trials=tuple(trials),
        waits_for_data=facts is None,
        tuning_trials=cells * space.learning_rate.trials,
        slots=slots(space),
        price_per_device_hour=space.resources.price_per_device_hour,
        notes=(*store.notes, *thin_budgets(space, members), *unreached_notes(space, facts, designed, costs))
        if facts
        else tuple(store.notes),
    )


def grid_spec(
    space: Space, facts: DataFacts, label: str, size: Size, seed: int, rate: float, course: Course
) -> TrialSpec:
    """Return a trajectory of one size and seed on a course."""
    return make_spec(
        space, facts, label, size, seed=seed, rate=rate, subset=course.subset, epochs=course.epochs,
        data_budgets=course.budgets(facts), flops_budgets=course.flops,
        key=("grid", "unique" if space.grid.unique else "structures"),
    )  # fmt: skip


def make_spec(
    space: Space,
    facts: DataFacts,
    label: str,
    size: Size,
    *,
    seed: int,
    rate: float,
    subset: int,
    epochs: float,
    data_budgets: tuple[float, ...],
    flops_budgets: tuple[float, ...] = (),
    key: tuple[str, ...] = ("grid", "structures"),
) -> TrialSpec:
    """Return a trajectory of a family, at most `epochs` passes over a subset of so many structures."""
    if facts.structures is not None and subset > facts.structures:
        raise space.error(
            key,
            f"{subset * epochs:.0f} structures in {epochs:g} epochs need {subset} different ones, and the store has "
            f"{facts.structures} for training; ask for fewer, make more (data.make.structures), or raise grid.epochs",
        )
    family = space.families[label]
    mup = space.learning_rate.transfer == "mup"
    return TrialSpec(
        architecture=family.architecture,
        size=size,
        base_size=family.base_size() if mup else None,
        entrypoint=space.entrypoint,
        forces=space.forces,
        fingerprint=facts.fingerprint,
        structures=subset,
        epochs=epochs,
        validation_structures=space.data.validation_structures if space.data else 256,
        data_budgets=data_budgets,
        flops_budgets=flops_budgets,
        learning_rate=rate,
        seed=seed,
        symmetry=family.symmetry,
        **dict(space.training),
    )


def assignment(spec: TrialSpec, family: str, stage: str) -> Assignment:
    """Return the statement that a trajectory serves a family and a stage."""
    return Assignment(
        trial_id=spec.trial_id, family=family, stage=stage, seed=spec.seed, size=size_text(spec.size),
        learning_rate=spec.learning_rate,
    )  # fmt: skip


def _rate_size(space: Space, label: str, size: Size) -> Size:
    return space.families[label].base_size() if space.learning_rate.transfer == "mup" else size


def _planned(
    space: Space,
    facts: DataFacts | None,
    label: str,
    size: Size,
    seed: int,
    course: Course,
    spec: TrialSpec | None,
    state: TrialState,
    cost: Cost | None,
) -> PlannedTrial:
    reached = course.reached(facts, cost) if facts and cost else course.flops
    atoms = list(course.budgets(facts)) if facts else []
    atoms += [flops / cost.flops_per_atom for flops in reached] if cost else []
    ends = spent = max(atoms, default=None)
    wsd = space.training.optimizer.name == "wsd"
    if wsd and ends is not None:  # the trunk leads to the last branch; the others come on top
        spent = ends + space.training.optimizer.decay_share * (sum(atoms) - ends)
    return PlannedTrial(
        family=label,
        architecture=space.families[label].architecture,
        size=size,
        seed=seed,
        structures=course.structures[-1] if course.structures else course.seen,
        points=len(course.structures) + len(reached),
        atoms=tuple(sorted(atoms)) if cost else (),
        spec=spec,
        state=state,
        params=cost.params if cost else None,
        data=ends,
        flops=cost.flops_per_atom * spent if cost and spent else None,
        naive_flops=cost.flops_per_atom * sum(atoms) if cost and atoms else None,
        device_seconds=cost.seconds_per_atom * spent if cost and spent else None,
        # Two checkpoints of weights and two sequences or moments, in 4 bytes each; a branch (wsd) keeps its trunk, too.
        disk_bytes=2 * 3 * 4.0 * (2 if wsd else 1) * cost.params if cost else None,
    )


def _groups(trials: Sequence[PlannedTrial]) -> list[list[PlannedTrial]]:
    groups: dict[tuple[str, str], list[PlannedTrial]] = {}
    for trial in trials:
        groups.setdefault((trial.family, size_text(trial.size)), []).append(trial)
    return list(groups.values())


def _total(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(sum(known)) if known and len(known) == len(values) else None


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.3g}" if value >= 1e6 else f"{value:.0f}"
