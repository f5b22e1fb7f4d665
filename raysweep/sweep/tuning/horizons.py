"""The search that shows how the best learning rate moves with the horizon: the same rates, each to every horizon.

Rates lie around the one that was found, `horizon_trials` of them, a factor `STEP` apart; none is stopped early. While
the best rate at a horizon is the lowest or highest one tried, two more are tried beyond it, `widenings` times at most.
Where one run serves all horizons (no cosine) a rate is one trial.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from raysweep.core.text import rounded
from raysweep.core.trial import TrialSpec
from raysweep.storage.rate_records import RateRecord
from raysweep.sweep.space.parts import LearningRate, Size
from raysweep.sweep.tuning.asha import RungVerdict
from raysweep.sweep.tuning.rate_choice import RATE_DIGITS, Choice
from raysweep.sweep.tuning.search import RateCandidate

if TYPE_CHECKING:
    from raysweep.frontier.hyperparameters.horizon import HorizonExponent

STEP = 1.8
"""Factor between two rates: seven of them reach 5.8 times above and below the middle one."""


class HorizonSearch:
    """The trials of one family at one size; what a stage asks of it is what it asks of a `RateSearch`."""

    def __init__(
        self,
        family: str,
        size: Size,
        settings: LearningRate,
        centre: float,
        make_specs: Callable[[float], Sequence[TrialSpec]],
    ) -> None:
        """Begin a search around a rate.

        Args:
            family: label of the family.
            size: its base size.
            settings: how many rates, and how often further ones are tried.
            centre: the rate that was found, or given.
            make_specs: the trials of a rate.
        """
        self.family, self.size, self.settings = family, size, settings
        self.candidates: list[RateCandidate] = []
        self.widened = 0
        self._make_specs = make_specs
        self._tried: list[float] = []
        self._queue: list[TrialSpec] = []
        half = settings.horizon_trials // 2
        places = sorted(range(settings.horizon_trials), key=lambda k: (abs(k - half), k))
        self._add([centre * STEP ** (k - half) for k in places])

    @property
    def trials(self) -> int:
        """Number of trials, as far as they are known."""
        return len(self.candidates) + len(self._queue)

    def ask(self) -> RateCandidate | None:
        """Return the next trial to run; None while a round is incomplete, and when the search is over."""
        if self.finished or not self._queue:
            return None
        candidate = RateCandidate(len(self.candidates), self._queue.pop(0))
        self.candidates.append(candidate)
        return candidate

    @property
    def finished(self) -> bool:
        """Whether all trials have ended and no further rate is needed."""
        if not self._queue and all(candidate.ended for candidate in self.candidates):
            self._widen()
        return not self._queue and all(candidate.ended for candidate in self.candidates)

    @property
    def on_plateau(self) -> bool:
        """Whether no trial has left the starting plateau, so that the losses say little about the rates."""
        ends = [candidate.points[-1] for candidate in self.candidates if candidate.points]
        return bool(ends) and all(point.on_plateau for point in ends)

    def verdicts(self) -> list[RungVerdict]:
        """Return that every point of every trial counts."""
        return [RungVerdict(len(c.points), stopped=False, settled=c.ended) for c in self.candidates]

    def choice(self) -> Choice | None:
        """Return the rate with the lowest loss at the last horizon; None where no trial reached it."""
        curves = self._curves()
        last = max((data for spec in (c.spec for c in self.candidates) for data in spec.data_budgets), default=None)
        if last is None or last not in curves:
            return None
        rate, _ = min(curves[last], key=lambda pair: (pair[1], pair[0]))
        return Choice(rate, "horizons", None)

    def _curves(self) -> dict[float, list[tuple[float, float]]]:
        found: dict[float, list[tuple[float, float]]] = {}
        for candidate in self.candidates:
            for point in candidate.points:
                if math.isfinite(point.loss):
                    found.setdefault(point.budget, []).append((candidate.spec.learning_rate, point.loss))
        return found

    def _widen(self) -> None:
        if self.widened >= self.settings.widenings or self.on_plateau:
            return
        best = [min(curve, key=lambda pair: (pair[1], pair[0]))[0] for curve in self._curves().values()]
        low, high = min(self._tried), max(self._tried)
        beyond = [low / STEP**k for k in (1, 2) if low in best] + [high * STEP**k for k in (1, 2) if high in best]
        if beyond:
            self.widened += 1
            self._add(beyond)

    def _add(self, rates: Sequence[float]) -> None:
        for rate in dict.fromkeys(rounded(rate, RATE_DIGITS) for rate in rates):
            if rate not in self._tried:
                self._tried.append(rate)
                self._queue += self._make_specs(rate)


def exponent_of(record: RateRecord) -> "HorizonExponent | str":
    """Compute the exponent from a finished search, or explain why its losses do not determine it."""
    from raysweep.frontier.hyperparameters import horizon  # imports scipy

    return horizon.exponent_of(record)


def horizon_line(record: RateRecord) -> str:
    """Return the line for the terminal about a search that has ended."""
    found = exponent_of(record)
    if isinstance(found, str):
        return f"{record.family}: how the best rate moves with the horizon could not be measured: {found}"
    used = "forecasts correct for it" if found.matters else "not distinguishable from 0, so nothing is corrected"
    return f"{record.family}: the best rate moves as D^{found.exponent:.2f} [{found.low:.2f}, {found.high:.2f}]; {used}"


def horizon_records(records: Mapping[str, RateRecord]) -> dict[str, RateRecord]:
    """Select the records of such searches, by family."""
    return {record.family: record for record in records.values() if record.of_horizons}
