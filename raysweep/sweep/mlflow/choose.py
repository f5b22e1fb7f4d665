"""`raysweep.choose`: a race across the families of a search space, and its verdict."""

import math
from dataclasses import dataclass

from rich.console import Console

from raysweep.core.terminal.live import duration
from raysweep.frontier.decision.verdict import Verdict
from raysweep.storage.race_records import WHY_ENDED
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.mlflow.run import run
from raysweep.sweep.run import Mirror, SweepResult
from raysweep.sweep.space.space import Space, as_race


@dataclass(frozen=True, kw_only=True)
class RaceResult:
    """A race that has ended, for its budget or for good."""

    verdict: Verdict | None
    """None: no trial gave a point."""
    ended: str
    """Why: decided, budget, grid (no trajectory is left), points (none gave any), families (fewer than two did)."""
    looks: int
    """Rounds that were run, each followed by a look at the points."""
    flops: float
    """Training FLOPs of the trajectories of all rounds, without those that were there before the race."""
    seconds: float
    """Wall-clock time over all interruptions."""
    sweep: SweepResult

    @property
    def decided(self) -> bool:
        """Whether a family is best, or several are equal."""
        return self.verdict is not None and self.verdict.decided

    def __str__(self) -> str:
        rounds = f"{self.looks} round{'' if self.looks == 1 else 's'}"
        spent = f"{rounds}, {self.flops:.3g} FLOP, {duration(self.seconds)}"
        return f"{self.verdict or 'No verdict.'}\n{spent}; it ended: {WHY_ENDED[self.ended]}."


def choose(
    space: Space,
    flops: float | None = None,
    *,
    budget: str | float | None = None,
    delta: float | None = None,
    error: float | None = None,
    inference_steps: float | None = None,
    mirror: Mirror | None = None,
    console: Console | None = None,
) -> RaceResult:
    """Find the best family at a compute by a race: run only what the answer needs, where it is least certain.

    The same call goes on with a race that was interrupted, or whose budget was raised; finished work is not repeated.

    Args:
        space: the search space.
        flops: training compute at which the families are compared; default: `race.at_flops` of the space.
        budget: wall-clock time ("10m"), device hours ("2 device-hours") or training FLOPs (1e15); default:
            `race.budget`, or the grid.
        delta: families whose losses differ by less than this share are equal; default: `race.delta`, .02.
        error: largest probability that the verdict is wrong; default: `race.error`, .05.
        inference_steps: atom-steps of inference (atoms times MD steps) that `flops` pays for besides the training;
            default: `race.inference_steps`, none.
        mirror: as in `run`.
        console: as in `run`.

    Raises:
        RaysweepError: a setting has no meaning, the budget is too small for any trajectory, or as in `run`.
        Interrupted: as in `run`, like its other exceptions.
    """
    space = as_race(space, flops=flops, budget=budget, delta=delta, error=error, inference_steps=inference_steps)
    return race_result(space, run(space, mirror=mirror, console=console))


def race_result(space: Space, sweep: SweepResult) -> RaceResult:
    """Read the result of the race that a space asks for, after its run."""
    record = next(
        race
        for race in TrialStore(space.storage).races()
        if race.key == (space.race.at_flops, space.race.delta, space.race.error, space.race.inference_steps)
    )
    return RaceResult(
        verdict=Verdict.from_dict(record.verdicts[-1]) if record.verdicts else None,
        ended=record.ended or "budget",
        looks=len(record.looks),
        flops=math.fsum(
            trial.flops or 0.0
            for trial in sweep.plan.trials
            if trial.spec is not None and trial.spec.trial_id not in record.free
        ),
        seconds=record.seconds,
        sweep=sweep,
    )
