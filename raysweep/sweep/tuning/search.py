"""The learning-rate stage: per family one Optuna study and one ASHA, over the learning rate alone.

Every step of a search is a pure function of the losses of its trials, so a stage that was killed and resumed (its
trials are read back from the trial store), or run on more workers, ends with the same rates:

1. `spread` rates, even on the log scale, are enqueued in the study, the middle of the range first;
2. when all of them have ended they are told to the study in the order of asking, and its TPE is asked for the rest;
3. where the best rate is the lowest or highest tried, the range is widened by two rates beyond, `widenings` times;
4. the rate is chosen by a parabola through the best region (see `rate_choice`).

The rates of a round never depend on which trial of it finished first; nor do ASHA's verdicts (see `asha`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from raysweep.core.points import Point, at_budgets
from raysweep.core.text import rounded
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.sweep.space.parts import LearningRate, Size
from raysweep.sweep.tuning.asha import Curve, Verdict, judge
from raysweep.sweep.tuning.rate_choice import RATE_DIGITS, Choice, choose

WIDEST_STEP = 3.0
"""Between the end of a range and the rates beyond it: an optimum just outside is not jumped over."""
ASKED_FOR_EACH = 8
"""Rates that TPE is asked at most for each one taken."""


@dataclass
class Candidate:
    """One trial of a search, as far as it is known."""

    index: int
    spec: TrialSpec
    points: list[Point] = field(default_factory=list)
    """One for each rung from the first on, as far as it has come."""
    state: TrialState = TrialState.PLANNED

    @property
    def ended(self) -> bool:
        """Whether no more points will come."""
        return not self.state.is_open

    def hear(self, points: Sequence[Point]) -> None:
        """Add points of its training; points off the rungs' budgets are ignored."""
        self.points = at_budgets([*self.points, *points], self.spec.data_budgets)

    def curve(self) -> Curve:
        """Return its losses at the rungs; a trial that diverged or failed shows an infinite loss at its next rung."""
        losses = tuple(point.loss for point in self.points)
        broken = self.state == TrialState.DIVERGED or self.state.is_failed
        return Curve((*losses, math.inf) if broken else losses, self.ended)


class RateSearch:
    """The search of one learning rate: of a family at its base size (of one size where rates are tuned per size)."""

    def __init__(
        self, family: str, size: Size, settings: LearningRate, rungs: int, make_spec: Callable[[float], TrialSpec]
    ) -> None:
        assert settings.low is not None
        assert settings.high is not None
        self.family, self.size, self.settings, self.rungs = family, size, settings, rungs
        self.candidates: list[Candidate] = []
        self.widened = 0
        self._over = False
        self._low, self._high = settings.low, settings.high
        self._make_spec = make_spec
        self._spread = settings.spread or max(3, math.ceil(settings.trials * 5 / 8))
        self._queue = self._untried(spread_rates(self._low, self._high, self._spread))
        self._step = (self._high / self._low) ** (1 / (self._spread - 1))
        self._rest = settings.trials - self._spread

    def ask(self) -> Candidate | None:
        """Return the next trial to run; None while the round is not complete, and when the search is over."""
        if self.finished or not self._queue:
            return None
        candidate = Candidate(len(self.candidates), self._make_spec(self._queue.pop(0)))
        self.candidates.append(candidate)
        return candidate

    @property
    def finished(self) -> bool:
        """Whether all trials have ended and no further round is needed."""
        if not self._over and not self._queue and self._round_over():
            self._queue = self._next_round()
            self._over = not self._queue
        return self._over

    def verdicts(self) -> list[Verdict]:
        """Return ASHA's verdict on each candidate."""
        return judge([c.curve() for c in self.candidates], self.rungs, self.settings.reduction_factor)

    def choice(self) -> Choice | None:
        """Return the chosen rate from what is known now; None where no trial was completed."""
        told = [
            (c.spec.learning_rate, [point.loss for point in c.points[: verdict.length]])
            for c, verdict in zip(self.candidates, self.verdicts(), strict=True)
            if not c.state.is_failed
        ]
        return choose(told, self.rungs)

    def _round_over(self) -> bool:
        return all(candidate.ended for candidate in self.candidates)

    def _next_round(self) -> list[float]:
        if self._rest > 0:
            count, self._rest = self._rest, 0
            asked = ask_optuna(self.candidates, self.verdicts(), self.settings, count, math.log(self._step) / 4)
            if new := self._untried(asked):
                return new
        edge = self._edge()
        if edge is None or self.widened >= self.settings.widenings:
            return []
        self.widened += 1
        end, direction = edge
        step = min(self._step, WIDEST_STEP)
        beyond = [rounded(end * step ** (direction * k), RATE_DIGITS) for k in (1, 2)]
        self._low, self._high = min(self._low, *beyond), max(self._high, *beyond)
        return self._untried(beyond)

    def _untried(self, rates: Sequence[float]) -> list[float]:
        """Return the distinct rates that no trial has; in a narrow range, rates rounded to four digits coincide."""
        tried = {candidate.spec.learning_rate for candidate in self.candidates}
        return [rate for rate in dict.fromkeys(rates) if rate not in tried]

    @property
    def on_plateau(self) -> bool:
        """Whether no trial has learnt more than next to nothing: then the losses say little about the rates."""
        ends = [candidate.points[-1] for candidate in self.candidates if candidate.points]
        return bool(ends) and all(point.on_plateau for point in ends)

    def _edge(self) -> tuple[float, int] | None:
        """Return the end of the range beyond which better rates may lie, and the direction."""
        choice = self.choice()
        if choice is not None:
            if self.on_plateau and choice.edge == "high":
                return None  # on the plateau a higher rate is better up to any height
            return None if choice.edge is None else (choice.rate, -1 if choice.edge == "low" else 1)
        diverged = [c.spec.learning_rate for c in self.candidates if c.state == TrialState.DIVERGED]
        return (min(diverged), -1) if diverged else None


def spread_rates(low: float, high: float, count: int) -> list[float]:
    """Return rates that are even on the log scale, both ends included, from the middle of the range outwards."""
    rates = [rounded(low * (high / low) ** (i / (count - 1)), RATE_DIGITS) for i in range(count)]
    middle = (count - 1) / 2
    return [rates[i] for i in sorted(range(count), key=lambda i: (abs(i - middle), i))]


def ask_optuna(
    candidates: Sequence[Candidate], verdicts: Sequence[Verdict], settings: LearningRate, count: int, apart: float
) -> list[float]:
    """Return `count` rates that Optuna's TPE asks for, told the trials in their order: the same for the same losses.

    Args:
        candidates: all trials so far, ended.
        verdicts: ASHA's on each of them.
        settings: range and seed.
        count: rates to ask for.
        apart: distance that they should keep from all others, in log rate.
    """
    import optuna  # half a second, and a finished sweep does not need it

    low, high, seed = settings.low, settings.high, settings.seed
    assert low is not None
    assert high is not None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space: dict[str, optuna.distributions.BaseDistribution] = {
        "learning_rate": optuna.distributions.FloatDistribution(low, high, log=True)
    }
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=0, multivariate=False)
    study = optuna.create_study(direction="minimize", sampler=sampler)
    for candidate, verdict in zip(candidates, verdicts, strict=True):
        rate, losses = candidate.spec.learning_rate, [p.loss for p in candidate.points[: verdict.length]]
        if candidate.state.is_failed or not losses:
            continue
        complete = candidate.state == TrialState.DONE and not verdict.stopped
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.COMPLETE if complete else optuna.trial.TrialState.PRUNED,
                params={"learning_rate": rate},
                distributions={
                    "learning_rate": optuna.distributions.FloatDistribution(min(low, rate), max(high, rate), log=True)
                },
                value=losses[-1] if complete else None,
                intermediate_values=dict(enumerate(losses)),
            )
        )
    tried = [candidate.spec.learning_rate for candidate in candidates]
    rates: list[float] = []
    for _ in range(count):
        asked = [float(study.ask(space).params["learning_rate"]) for _ in range(ASKED_FOR_EACH)]
        # TPE repeats itself where it is sure, and the same rate again teaches nothing: the first one that keeps its
        # distance is taken, else the one that keeps most.
        distances = [min(abs(math.log(rate / other)) for other in (*tried, *rates)) for rate in asked]
        best = next((i for i, d in enumerate(distances) if d >= apart), int(np.argmax(distances)))
        rates.append(rounded(asked[best], RATE_DIGITS))
    return rates
