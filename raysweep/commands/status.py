"""`status`: how far a sweep is, from its trial store; nothing is measured and nothing written."""

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import typer

from raysweep.commands.show import columns, print_json
from raysweep.commands.sweeps import read_space
from raysweep.sweep.facts import data_facts
from raysweep.sweep.lock import FILE as LOCK_FILE
from raysweep.sweep.plan import Plan, make_plan
from raysweep.sweep.rates import known_rates
from raysweep.sweep.space import Space
from raysweep.sweep.trial_store import ENDED, TrialStore
from raysweep.trial import TrialState

INTERRUPTED = "interrupted"


@dataclass(frozen=True, kw_only=True)
class FamilyStatus:
    """How far the grid of one family is."""

    family: str
    trajectories: int
    ended: int
    states: dict[str, int]
    points: int
    learning_rates: tuple[float, ...]
    """At the base size, one; at each size where rates are tuned per size; none before they are tuned."""
    best_loss: float | None


@dataclass(frozen=True, kw_only=True)
class Status:
    """How far a sweep is."""

    name: str
    storage: str
    complete: bool
    """Whether every trajectory of the grid ended, well or by divergence."""
    trials: dict[str, int]
    """By state, trials of both stages that were ever begun."""
    families: tuple[FamilyStatus, ...]
    driver: str | None
    """Which process runs the sweep, as its lock says; None: none does."""
    notes: tuple[str, ...]


def sweep_status(space: Space) -> Status:
    """Return how far a sweep is."""
    store = TrialStore(space.storage)
    facts = data_facts(space)
    rates = known_rates(space, facts, store) if facts else {}
    plan = make_plan(space, facts, rates, measure=False)
    held = store.read_json(LOCK_FILE)
    driver = f"process {held['pid']} on {held['host']} since {held['since']}" if isinstance(held, dict) else None
    # Without a driver nothing runs: what says so was cut short, and the next run goes on with it.
    names = {} if driver else {str(TrialState.RUNNING): INTERRUPTED}
    states = (str(store.record(trial_id).state) for trial_id in store.ids())
    trials = Counter(names.get(state, state) for state in states)
    families = tuple(_family_status(label, plan, store) for label in space.families)
    return Status(
        name=space.name,
        storage=space.storage,
        complete=all(family.ended == family.trajectories for family in families),
        trials=dict(sorted(trials.items())),
        families=families,
        driver=driver,
        notes=tuple(dict.fromkeys(store.notes)),
    )


def show_status(path: str, overrides: Sequence[str], *, as_json: bool) -> None:
    """Print how far a sweep is."""
    status = sweep_status(read_space(path, overrides))
    if as_json:
        print_json(dataclasses.asdict(status))
        return
    head = ("family", "ended", "of", "running", "diverged", "failed", "points", "rate", "best loss")
    typer.echo(columns([head, *map(_row, status.families)]))
    begun = ", ".join(f"{count} {state}" for state, count in status.trials.items()) or "none yet"
    typer.echo(f"{status.name}: {'complete' if status.complete else 'not complete'}; trials of both stages: {begun}")
    if status.driver:
        typer.echo(f"running now: {status.driver}")
    for note in status.notes:
        typer.echo(note)


def _row(family: FamilyStatus) -> tuple[str, ...]:
    return (
        family.family,
        str(family.ended),
        str(family.trajectories),
        *(str(family.states.get(state, 0)) for state in ("running", "diverged", "failed")),
        str(family.points),
        " ".join(f"{rate:g}" for rate in family.learning_rates) or "to be tuned",
        "-" if family.best_loss is None else f"{family.best_loss:.4g}",
    )


def _family_status(label: str, plan: Plan, store: TrialStore) -> FamilyStatus:
    trials = [trial for trial in plan.trials if trial.family == label]
    ended = [trial for trial in trials if trial.state in ENDED]
    losses: list[float] = []
    for trial in ended:
        assert trial.spec is not None
        losses += store.points(trial.spec.trial_id)["loss"].to_pylist()
    finite = [loss for loss in losses if loss is not None and math.isfinite(loss)]
    rates = dict.fromkeys(trial.spec.learning_rate for trial in trials if trial.spec)
    return FamilyStatus(
        family=label,
        trajectories=len(trials),
        ended=len(ended),
        states={str(state): sum(t.state == state for t in trials) for state in TrialState},
        points=len(losses),
        learning_rates=tuple(rates),
        best_loss=min(finite, default=None),
    )
