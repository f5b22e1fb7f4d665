"""Trials of earlier sweeps, in storages of their own: equal work is taken over instead of done again."""

from raysweep.sweep.space import Space
from raysweep.sweep.trial_store import TrialStore
from raysweep.trial import TrialState

TAKEN = (TrialState.DONE, TrialState.DIVERGED)
"""Not what ASHA stopped: whether it goes on is for the search of this sweep to say."""


class EarlierTrials:
    """The trials under the storages that a search space names as `earlier`, known by their trial ids."""

    def __init__(self, space: Space) -> None:
        """List them.

        Raises:
            SpaceError: there are none in one of the storages.
        """
        self._stores = [(store, frozenset(store.ids())) for store in map(TrialStore, space.earlier)]
        for index, (store, ids) in enumerate(self._stores):
            if not ids:
                raise space.error(
                    ("earlier", index), f"no trials are in {store.location}; give the storage of a sweep that has run"
                )

    def state(self, trial_id: str) -> TrialState:
        """Return how a trial ended in the first of the storages that has its points whole; PLANNED where none has."""
        store = self._holder(trial_id)
        return TrialState.PLANNED if store is None else store.state(trial_id)

    def take(self, trial_id: str, into: TrialStore) -> bool:
        """Copy an ended trial's specification, points and end; return whether there was one to copy."""
        store = self._holder(trial_id)
        if store is not None:
            into.adopt(store, trial_id)
        return store is not None

    def _holder(self, trial_id: str) -> TrialStore | None:
        return next((store for store, ids in self._stores if trial_id in ids and store.state(trial_id) in TAKEN), None)
