"""The run that goes on from a trial that has ended: to further structures, or to more passes over its own."""

from raysweep.core.errors import RaysweepError, TrialError
from raysweep.core.trial import TrialSpec
from raysweep.storage.forecast_records import ForecastRate
from raysweep.storage.layout import POINTS
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.forecasts.runs import ForecastRun, cost_of_size
from raysweep.sweep.space.facts import DataFacts, data_facts
from raysweep.sweep.space.resolve import Resolved
from raysweep.sweep.space.space import Space


def longer_run(resolved: Resolved, store: TrialStore, given: str, structures: int) -> tuple[ForecastRun, str]:
    """Work out the run that goes on from a trial until it has seen so many structures; also the trial's id.

    Args:
        resolved: the search space, with its structures known.
        store: its storage.
        given: the trial's id, or the beginning of it.
        structures: seen by the end, those of the trial included.

    Raises:
        RaysweepError: there is no such trial, its schedule has no longer run, or there are too few structures.
    """
    space = resolved.space
    assert resolved.facts is not None
    short = store.spec(_find(store, given))
    _check(short, store, resolved.facts)
    trial_id = short.trial_id
    family = next((row.family for row in store.assignments() if row.trial_id == trial_id), None)
    if family not in space.families:
        raise RaysweepError(
            f"trial {trial_id} is of no family of this search space: go on from one that `status` counts"
        )
    seen = round(short.epochs * short.structures)
    if structures <= seen:
        raise RaysweepError(f"trial {trial_id} has seen {seen} structures: give more than that (--structures)")
    facts = data_facts(space, at_least=structures)
    assert facts is not None
    spec = _longer(short, structures, facts)
    data = spec.data_budgets[-1]
    there = max((float(flops) for flops in store.points(trial_id)["flops"].to_pylist()), default=0.0)
    notes = [f"it goes on from trial {trial_id}, which has spent {there:.4g} FLOP of this already"]
    if spec.epochs > 1:
        notes.append(f"{spec.epochs:.3g} passes over {spec.structures} structures; the law counts repeats in full")
    run = ForecastRun(
        family=family,
        spec=spec,
        cost=cost_of_size(space, resolved.facts, store, family, short.size),
        structures=structures,
        data=data,
        rate=ForecastRate(
            rate=short.learning_rate,
            tuned=short.learning_rate,
            sentence=f"that of trial {trial_id}, on whose path it is",
        ),
        notes=tuple(notes),
    )
    return run, trial_id


def give_checkpoint(space: Space, store: TrialStore, trial_id: str, long: TrialSpec) -> int | None:
    """Give a longer run the checkpoint that it goes on from, unless it has begun; return the steps that it saves.

    Raises:
        TrialError: the trial has no checkpoint, or the longer run would not have come by it.
    """
    if store.record(long.trial_id).attempt:
        return None
    assert space.data is not None
    from raysweep.data.store.store import open_store
    from raysweep.training.going_on import go_on  # imports torch

    short = store.spec(trial_id)
    target = store.first_checkpoints(long.trial_id)
    return go_on(short, long, open_store(space.data.store), store.checkpoints(trial_id), target)


def _find(store: TrialStore, given: str) -> str:
    found = [trial_id for trial_id in store.ids() if trial_id.startswith(given)]
    if len(found) != 1:
        reason = f"{len(found)} trials begin so" if found else "there is no such trial"
        raise RaysweepError(f"trial {given!r}: {reason} in {store.location}; MLflow and {POINTS} name them")
    return found[0]


def _check(short: TrialSpec, store: TrialStore, facts: DataFacts) -> None:
    """Refuse a trial that no longer run begins like."""
    reason = None
    if short.entrypoint is not None:
        reason = f"it is a training of {short.entrypoint}, whose checkpoints raysweep does not know"
    elif short.optimizer.name == "cosine":
        reason = "the learning rate of cosine has fallen to 0 at its end; schedulefree_adamw and wsd can go on"
    elif short.fingerprint != facts.fingerprint:
        reason = "it was trained on other structures than this search space has"
    elif not (state := store.state(short.trial_id)).is_final or state.ended_badly:
        reason = f"it is {state}, not done"
    if reason is not None:
        raise TrialError(f"trial {short.trial_id} cannot be gone on with: {reason}")


def _longer(short: TrialSpec, structures: int, facts: DataFacts) -> TrialSpec:
    """Return the specification of the longer run: over new structures while there are any, else over the same again."""
    if short.epochs == 1 and (facts.structures is None or structures <= facts.structures):
        changes = {"structures": structures, "nested": (*short.nested, short.structures)}
        atoms = facts.atoms(structures, structures)
    else:
        changes = {"epochs": structures / short.structures}
        atoms = facts.atoms(structures, short.structures)
    return TrialSpec(**{**dict(short), **changes, "data_budgets": (*short.data_budgets, atoms)})
