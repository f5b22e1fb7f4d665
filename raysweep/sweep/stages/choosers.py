"""Which chooser a sweep has: none, rounds by family, or a race across families."""

from collections.abc import Callable

from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.space.resolve import Resolved
from raysweep.sweep.stages.chooser import Chooser


def chooser_of(resolved: Resolved, store: TrialStore, say: Callable[[str], None] = lambda _: None) -> Chooser | None:
    """Return the chooser of a sweep's trajectories in rounds; None if the whole grid is run."""
    space = resolved.space
    if space.race.enabled:
        from raysweep.sweep.stages.race import RaceRounds  # imports scipy

        return RaceRounds(resolved, store, say)
    if space.adaptive.enabled:
        from raysweep.sweep.stages.rounds import Rounds  # imports scipy

        return Rounds(space, store, say)
    return None
