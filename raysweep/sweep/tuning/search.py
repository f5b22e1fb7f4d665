"""How is a learning rate chosen? It is given, or found by the search in this file and carried to the other sizes.

A rate in `learning_rate.rates` is taken as it is. Else the family is searched at the sizes that
`learning_rate.transfer` names: its base size, from which muP carries the rate to all sizes (`mup`); its smallest sizes,
through which a power law in width gives the others (`power_law`, see `rates`); or each of its sizes (`per_size`).

A search is one Optuna study and one ASHA, over the learning rate alone:

1. `spread` rates, even on the log scale, are tried first, from the middle of the range outwards;
2. once all of them have ended, they are reported to the study in the order in which they were asked for, and its TPE
proposes the rest;
3. while the best rate is the lowest or highest one tried, the range is widened by two rates, `widenings` times at most;
4. the rate is chosen at the vertex of a parabola through the best region (`rate_choice`).

ASHA stops trials early at its rungs (`asha`). Every step is a pure function of the losses, and none depends on which
trial was faster: a search that was interrupted and resumed, or ran on more workers, ends with the same rate.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from raysweep.core.points import Point, at_budgets
from raysweep.core.text import rounded
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.sweep.space.parts import LearningRate, Size
from raysweep.sweep.tuning.asha import RungLosses, RungVerdict, judge
from raysweep.sweep.tuning.rate_choice import RATE_DIGITS, Choice, choose

if TYPE_CHECKING:
    import optuna

WIDEST_STEP = 3.0
"""Largest factor between the end of a range and the rate beyond it, so that an optimum just outside is not missed."""
ASKED_FOR_EACH = 8
"""Proposals of TPE for each rate taken."""


@dataclass
class RateCandidate:
    """One trial of a search, and its results so far."""

    index: int
    spec: TrialSpec
    points: list[Point] = field(default_factory=list)
    """Its points at the rungs that it has reached."""
    state: TrialState = TrialState.PLANNED

    @property
    def ended(self) -> bool:
        """Whether there will be no more points."""
        return not self.state.is_open

    def hear(self, points: Sequence[Point]) -> None:
        """Add points of its training; points off the rungs' budgets are ignored."""
        self.points = at_budgets([*self.points, *points], self.spec.data_budgets)

    def curve(self) -> RungLosses:
        """Return its losses at the rungs; a trial that diverged or failed has an infinite loss at its next rung."""
        losses = tuple(point.loss for point in self.points)
        broken = self.state == TrialState.DIVERGED or self.state.is_failed
        return RungLosses((*losses, math.inf) if broken else losses, self.ended)


class RateSearch:
    """The search for one learning rate, of a family at one size."""

    def __init__(
        self, family: str, size: Size, settings: LearningRate, rungs: int, make_spec: Callable[[float], TrialSpec]
    ) -> None:
        assert settings.low is not None
        assert settings.high is not None
        self.family, self.size, self.settings, self.rungs = family, size, settings, rungs
        self.candidates: list[RateCandidate] = []
        self.widened = 0
        self._over = False
        self._low, self._high = settings.low, settings.high
        self._make_spec = make_spec
        self._spread = settings.spread or max(3, math.ceil(settings.trials * 5 / 8))
        self._queue = self._untried(spread_rates(self._low, self._high, self._spread))
        self._step = (self._high / self._low) ** (1 / (self._spread - 1))
        self._rest = settings.trials - self._spread

    @property
    def trials(self) -> int:
        """Number of trials, as far as they are known: its range may be widened."""
        return max(self.settings.trials, len(self.candidates))

    def ask(self) -> RateCandidate | None:
        """Return the next trial to run; None while a round is incomplete, and when the search is over."""
        if self.finished or not self._queue:
            return None
        candidate = RateCandidate(len(self.candidates), self._make_spec(self._queue.pop(0)))
        self.candidates.append(candidate)
        return candidate

    @property
    def finished(self) -> bool:
        """Whether all trials have ended and no further round is needed."""
        if not self._over and not self._queue and self._round_over():
            self._queue = self._next_round()
            self._over = not self._queue
        return self._over

    def verdicts(self) -> list[RungVerdict]:
        """Return ASHA's verdict on each candidate."""
        return judge([c.curve() for c in self.candidates], self.rungs, self.settings.reduction_factor)

    def choice(self) -> Choice | None:
        """Choose the rate from the results so far; None where no trial was completed."""
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
        """Return the distinct rates not tried before; in a narrow range, rates coincide once they are rounded."""
        tried = {candidate.spec.learning_rate for candidate in self.candidates}
        return [rate for rate in dict.fromkeys(rates) if rate not in tried]

    @property
    def on_plateau(self) -> bool:
        """Whether no trial has left the starting plateau, so that the losses say little about the rates."""
        ends = [candidate.points[-1] for candidate in self.candidates if candidate.points]
        return bool(ends) and all(point.on_plateau for point in ends)

    def _edge(self) -> tuple[float, int] | None:
        """Return the end of the range beyond which there may be a better rate, and the direction."""
        choice = self.choice()
        if choice is not None:
            if self.on_plateau and choice.edge == "high":
                return None  # on the plateau a higher rate is better up to any height
            return None if choice.edge is None else (choice.rate, -1 if choice.edge == "low" else 1)
        diverged = [c.spec.learning_rate for c in self.candidates if c.state == TrialState.DIVERGED]
        return (min(diverged), -1) if diverged else None


def spread_rates(low: float, high: float, count: int) -> list[float]:
    """Return rates that are evenly spaced on the log scale, both ends included, from the middle outwards."""
    rates = [rounded(low * (high / low) ** (i / (count - 1)), RATE_DIGITS) for i in range(count)]
    middle = (count - 1) / 2
    return [rates[i] for i in sorted(range(count), key=lambda i: (abs(i - middle), i))]


def ask_optuna(
    candidates: Sequence[RateCandidate],
    verdicts: Sequence[RungVerdict],
    settings: LearningRate,
    count: int,
    apart: float,
) -> list[float]:
    """Ask Optuna's TPE for rates, after reporting all trials to it in order: the same losses give the same rates.

    Args:
        candidates: all trials so far, ended.
        verdicts: ASHA's verdict on each of them.
        settings: range and seed.
        count: number of rates.
        apart: distance to keep from all other rates, in log rate.
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
        trial = _optuna_trial(candidate, verdict, low, high)
        if trial is not None:
            study.add_trial(trial)
    tried = [candidate.spec.learning_rate for candidate in candidates]
    rates: list[float] = []
    for _ in range(count):
        asked = [float(study.ask(space).params["learning_rate"]) for _ in range(ASKED_FOR_EACH)]
        # TPE repeats itself where it is certain, and repeating a rate adds nothing: the first one at a distance is
        # taken, otherwise the most distant one.
        distances = [min(abs(math.log(rate / other)) for other in (*tried, *rates)) for rate in asked]
        best = next((i for i, d in enumerate(distances) if d >= apart), int(np.argmax(distances)))
        rates.append(rounded(asked[best], RATE_DIGITS))
    return rates


def _optuna_trial(
    candidate: RateCandidate, verdict: RungVerdict, low: float, high: float
) -> "optuna.trial.FrozenTrial | None":
    """Describe a trial to Optuna; one that failed, or has no losses that count, says nothing."""
    import optuna

    rate, losses = candidate.spec.learning_rate, [point.loss for point in candidate.points[: verdict.length]]
    if candidate.state.is_failed or not losses:
        return None
    complete = candidate.state == TrialState.DONE and not verdict.stopped
    # A range that was widened has rates beyond its ends.
    around = optuna.distributions.FloatDistribution(min(low, rate), max(high, rate), log=True)
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState.COMPLETE if complete else optuna.trial.TrialState.PRUNED,
        params={"learning_rate": rate},
        distributions={"learning_rate": around},
        value=losses[-1] if complete else None,
        intermediate_values=dict(enumerate(losses)),
    )
