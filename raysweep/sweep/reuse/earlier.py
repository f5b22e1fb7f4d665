"""Trials of earlier sweeps, in storages of their own: equal work is taken over instead of done again."""

from raysweep.core.io.files import absolute
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.reuse.changed_code import codes
from raysweep.sweep.space.space import Space

TAKEN = (TrialState.DONE, TrialState.DIVERGED)
"""Not what ASHA stopped: whether it goes on is for the search of this sweep to say."""


class EarlierTrials:
    """The trials under the storages that a search space names as `earlier`, known by their trial ids."""

    def __init__(self, space: Space) -> None:
        """List them.

        Raises:
            SpaceError: there are none in one of the storages.
        """
        places = {absolute(place).rstrip("/"): index for index, place in reversed([*enumerate(space.earlier)])}
        stores = [(TrialStore(place), index) for place, index in sorted(places.items(), key=lambda pair: pair[1])]
        self._stores = [(store, frozenset(store.ids())) for store, _ in stores]
        self._codes = codes(space, TrialStore(space.storage))
        self._keep = space.changed_code == "keep"
        self.other_code: set[str] = set()
        """Trials that differ by their code alone and are not taken over."""
        for (store, ids), (_, index) in zip(self._stores, stores, strict=True):
            if not ids:
                raise space.error(
                    ("earlier", index), f"no trials are in {store.location}; give the storage of a sweep that has run"
                )

    def state(self, spec: TrialSpec) -> TrialState:
        """Return how a trial ended in the first of the storages that has its points whole; PLANNED where none has."""
        store = self._holder(spec)
        return TrialState.PLANNED if store is None else store.state(spec.trial_id)

    def take(self, spec: TrialSpec, into: TrialStore) -> bool:
        """Copy an ended trial's specification, points and end; return whether there was one to copy."""
        store = self._holder(spec)
        if store is not None:
            into.adopt(store, spec.trial_id, self._codes.now(spec))
        return store is not None

    def _holder(self, spec: TrialSpec) -> TrialStore | None:
        for store, ids in self._stores:
            record = store.usable_record(spec) if spec.trial_id in ids else None
            if record is None or record.state not in TAKEN:
                continue
            if self._keep or not self._codes.differs(record.code):
                return store
            self.other_code.add(spec.trial_id)
        return None

    def note(self) -> str | None:
        """Return a note on the trials that were not taken over because their code differs, or None."""
        if not self.other_code:
            return None
        return (
            f"{len(self.other_code)} trials of `earlier` were made by other code of the entrypoint or plug-in and run "
            "anew; append changed_code=keep to take them"
        )
