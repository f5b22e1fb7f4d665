"""Records of races across families: their rounds, chosen before they are run, and the verdict after each of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

WHY_ENDED = {
    "decided": "decided",
    "budget": "no further trajectory fits into the budget",
    "grid": "no trajectory of the families in question is left: extend the grid, or raise race.seeds",
    "points": "no trial yielded a point",
    "families": "fewer than two families have trajectories to compare",
}
"""By what `RaceRecord.ended` says."""


@dataclass(frozen=True, kw_only=True)
class RaceRecord:
    """A race of `raysweep choose`; races of other settings in the same storage share trials, not rounds."""

    flops: float
    """Compute at which the families are compared."""
    delta: float
    error: float
    inference_steps: float = 0.0
    """Atom-steps of inference that the compute pays for as well."""
    budget: str | None = None
    """As it was last given; None: the grid is the limit."""
    looks: tuple[tuple[str, ...], ...] = ()
    """Trial ids of each round, in the order in which they were chosen."""
    free: tuple[str, ...] = ()
    """Those of the first that had ended before the race began: no budget pays for them."""
    begun: tuple[float, ...] = ()
    """Seconds of wall-clock time that the race had taken when each round was chosen."""
    verdicts: tuple[Mapping[str, object], ...] = ()
    """After each round that has ended, as `Verdict.to_dict` gives it."""
    ended: str | None = None
    """Why no further round was chosen, a key of `WHY_ENDED`; None while the race goes on."""
    basis: str | None = None
    """Hash of the candidates and settings by which it ended: with others it goes on."""
    seconds: float = 0.0
    """Wall-clock time in all, over interruptions."""

    @property
    def key(self) -> tuple[float, float, float, float]:
        """The settings that make it a race of its own."""
        return self.flops, self.delta, self.error, self.inference_steps


def encode(records: Iterable[RaceRecord]) -> list[object]:
    """Write records as plain values."""
    return [asdict(record) for record in records]


def decode(content: object) -> list[RaceRecord]:
    """Read records from plain values.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(content, list):
        raise ValueError("not a list of races")
    try:
        return [_record(**row) for row in content]
    except (TypeError, AttributeError) as error:
        raise ValueError(str(error)) from error


def _record(
    *,
    looks: list[list[str]],
    begun: list[float],
    verdicts: list[Mapping[str, object]],
    free: Sequence[str] = (),
    **rest: object,
) -> RaceRecord:
    if not all(isinstance(verdict, dict) for verdict in verdicts):
        raise TypeError("a verdict is a mapping")
    return RaceRecord(
        looks=tuple(tuple(str(trial_id) for trial_id in look) for look in looks),
        begun=tuple(float(seconds) for seconds in begun),
        verdicts=tuple(verdicts),
        free=tuple(str(trial_id) for trial_id in free),
        **rest,  # type: ignore[arg-type]
    )
