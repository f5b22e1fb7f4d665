"""`status`: the progress of a sweep, read from its trial store; nothing is measured or written."""

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raysweep.cli.show import print_json, show
from raysweep.cli.spaces import read_space
from raysweep.core.errors import SpaceError
from raysweep.core.messages import last_line
from raysweep.core.terminal.live import duration
from raysweep.core.text import columns, knobs, short
from raysweep.core.trial import INTERRUPTED, TrialState
from raysweep.storage.forecast_records import ForecastTotals
from raysweep.storage.forecasts import TrainedModel, read_forecasts, trained_models
from raysweep.storage.lease import running_driver
from raysweep.storage.race_records import RaceRecord
from raysweep.storage.reader import SweepReader
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.plan.values import Plan
from raysweep.sweep.preview import current_plan
from raysweep.sweep.space.identity import as_last_run
from raysweep.sweep.space.resolve import resolve
from raysweep.sweep.space.space import Space
from raysweep.sweep.stages.choosers import chooser_of

SHOWN = tuple(state for state in TrialState if state == TrialState.RUNNING or state.ended_badly)
"""States that have a column when any trial is in them."""
TROUBLES_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class FamilyStatus:
    """Progress of one family's grid."""

    family: str
    trajectories: int
    ended: int
    states: dict[str, int]
    points: int
    learning_rates: tuple[float, ...]
    """One at the base size, or one for each size if rates are tuned per size; none before they are tuned."""
    best_loss: float | None


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """A trial that failed (see `TrialState.ended_badly`)."""

    trial_id: str
    state: str
    reason: str
    """Last line of its message that is not empty."""


@dataclass(frozen=True, kw_only=True)
class RaceStatus:
    """A race across the families (`raysweep choose`)."""

    flops: float
    """At which they compete."""
    budget: str | None
    rounds: int
    ended: str | None
    """Why no further round was chosen; None while it goes on."""
    seconds: float
    """Wall-clock time over all interruptions."""
    verdict: Mapping[str, object] | None
    """After the last round that has ended, as `Verdict.to_dict` gives it; None before the first."""


@dataclass(frozen=True, kw_only=True)
class SweepStatus:
    """The progress of a sweep."""

    name: str
    storage: str
    complete: bool
    """Whether every trajectory of the grid is done or diverged."""
    trials: dict[str, int]
    """Number of trials by state, of both stages, that were ever begun."""
    families: tuple[FamilyStatus, ...]
    troubles: tuple[Trouble, ...]
    """Trials of both stages that ended badly, and why."""
    races: tuple[RaceStatus, ...]
    """Races across the families, the last one last, with what each of them answers by now."""
    forecasts: ForecastTotals
    models: tuple[TrainedModel, ...]
    """Models that `raysweep train` has begun."""
    driver: str | None
    """The process that runs the sweep; None if none does, or if it is dead."""
    notes: tuple[str, ...]


def sweep_status(space: Space) -> SweepStatus:
    """Work out the progress of a sweep."""
    store = TrialStore(space.storage)
    resolved = resolve(as_last_run(space, store), store)
    space = resolved.space
    plan = current_plan(resolved, store, measure=False)
    rounds = chooser_of(resolved, store)
    over = rounds is None or (plan.identified and rounds.over(plan))
    try:
        plan = rounds.chosen(plan) if rounds else plan
    except SpaceError as error:  # the last run was refused, such as for a budget without room for a first round
        store.notes.append(str(error))
    driver = running_driver(space.storage)
    # Without a driver nothing runs: what says so was cut short, and the next run goes on with it.
    names: dict[str, str] = {} if driver else {TrialState.RUNNING: INTERRUPTED}
    records = {trial_id: store.record(trial_id) for trial_id in store.ids()}
    trials = Counter(names.get(record.state, str(record.state)) for record in records.values())
    troubles = [
        Trouble(trial_id=trial_id, state=str(record.state), reason=last_line(record.message) or "-")
        # Failures first: of many troubles only the first are printed.
        for trial_id, record in sorted(records.items(), key=lambda pair: (not pair[1].state.is_failed, pair[0]))
        if record.state.ended_badly
    ]
    families = tuple(_family_status(label, plan, store) for label in space.families)
    return SweepStatus(
        name=space.name,
        storage=space.storage,
        complete=over and all(family.ended == family.trajectories for family in families),
        trials=dict(sorted(trials.items())),
        families=families,
        troubles=tuple(troubles),
        races=tuple(map(_race_status, store.races())),
        forecasts=read_forecasts(store).totals,
        models=tuple(trained_models(store)),
        driver=driver,
        notes=tuple(dict.fromkeys(store.notes)),
    )


def show_status(path: str, overrides: Sequence[str], *, as_json: bool) -> None:
    """Print the progress of a sweep."""
    status = sweep_status(read_space(path, overrides))
    if as_json:
        print_json(dataclasses.asdict(status))
        return
    seen = [state for state in SHOWN if any(family.states[state] for family in status.families)]
    head = ("family", "ended", "of", *(state.replace("_", " ") for state in seen), "points", "rate", "best loss")
    show(columns([head, *(_row(family, seen) for family in status.families)]))
    begun = ", ".join(f"{count} {state}" for state, count in status.trials.items()) or "none yet"
    show(f"{status.name}: {'complete' if status.complete else 'not complete'}; trials of both stages: {begun}")
    for race in status.races:
        show(_race_text(race))
    for trouble in status.troubles[:TROUBLES_SHOWN]:
        show(f"{trouble.trial_id} {trouble.state}: {trouble.reason[:160]}")
    if len(status.troubles) > TROUBLES_SHOWN:
        show(f"and {len(status.troubles) - TROUBLES_SHOWN} more; --json prints all")
    if status.forecasts.recorded:
        show(str(status.forecasts))
    for model in status.models:
        show(_model_text(model))
    if status.driver:
        show(f"running now: {status.driver}")
    for note in status.notes:
        show(note)


def _model_text(model: TrainedModel) -> str:
    loss = "" if model.last is None else f", loss {short(model.last.loss, 4)}"
    forecast = {True: ", inside its forecast", False: ", outside its forecast", None: ""}[model.inside]
    return (
        f"model {model.family} {knobs(model.size)} ({model.trial_id}): {model.state.replace('_', ' ')}{loss}{forecast}"
    )


def _race_status(record: RaceRecord) -> RaceStatus:
    return RaceStatus(
        flops=record.flops,
        budget=record.budget,
        rounds=len(record.looks),
        ended=record.ended,
        seconds=record.seconds,
        verdict=record.verdicts[-1] if record.verdicts else None,
    )


def _race_text(race: RaceStatus) -> str:
    from raysweep.frontier.decision.verdict import Verdict  # imports scipy

    found = (
        f"no verdict on {short(race.flops)} FLOPs yet" if race.verdict is None else str(Verdict.from_dict(race.verdict))
    )
    going = f"ended: {race.ended}" if race.ended else "it goes on"
    limit = f", budget {race.budget}" if race.budget else ""
    rounds = f"{race.rounds} round{'' if race.rounds == 1 else 's'}"
    return f"\n{found}\n(race: {rounds}, {duration(race.seconds)}{limit}; {going})"


def _row(family: FamilyStatus, seen: Sequence[str]) -> tuple[str, ...]:
    return (
        family.family,
        str(family.ended),
        str(family.trajectories),
        *(str(family.states[state]) for state in seen),
        str(family.points),
        " ".join(f"{rate:g}" for rate in family.learning_rates) or "to be tuned",
        short(family.best_loss, 4, unknown="-"),
    )


def _family_status(label: str, plan: Plan, reader: SweepReader) -> FamilyStatus:
    trials = [trial for trial in plan.trials if trial.family == label]
    ended = [trial for trial in trials if trial.state.is_final]
    losses: list[float] = []
    for trial in ended:
        assert trial.spec is not None
        losses += reader.points(trial.spec.trial_id)["loss"].to_pylist()
    finite = [loss for loss in losses if loss is not None and math.isfinite(loss)]
    rates = dict.fromkeys(trial.learning_rate for trial in trials if trial.learning_rate is not None)
    return FamilyStatus(
        family=label,
        trajectories=len(trials),
        ended=len(ended),
        states={str(state): sum(t.state == state for t in trials) for state in TrialState},
        points=len(losses),
        learning_rates=tuple(rates),
        best_loss=min(finite, default=None),
    )
