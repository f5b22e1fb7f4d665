"""Reuse of trials of other sweeps: equal work is copied from their storages instead of done again."""

from raysweep.core.io.files import absolute
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.reuse.changed_code import codes
from raysweep.sweep.space.space import Space


class ReusedTrials:
    """The trials in the storages that a search space names as `earlier`, by trial id."""

    def __init__(self, space: Space) -> None:
        """List the trials of all storages.

        Raises:
            SpaceError: a storage has no trials.
        """
        locations = {absolute(given).rstrip("/"): index for index, given in reversed([*enumerate(space.earlier)])}
        stores = [
            (TrialStore(location), index) for location, index in sorted(locations.items(), key=lambda pair: pair[1])
        ]
        self._stores = [(store, frozenset(store.ids())) for store, _ in stores]
        self._codes = codes(space.entrypoint, space.architectures, TrialStore(space.storage))
        self._keep = space.changed_code == "keep"
        self.other_code: set[str] = set()
        """Trials that differ only in their code, and so are not reused."""
        for (store, ids), (_, index) in zip(self._stores, stores, strict=True):
            if not ids:
                raise space.error(
                    ("earlier", index), f"no trials are in {store.location}; give the storage of a sweep that has run"
                )

    def state(self, spec: TrialSpec) -> TrialState:
        """Return how a trial ended in the first storage that has it with valid points; PLANNED without one."""
        store = self._holder(spec)
        return TrialState.PLANNED if store is None else store.state(spec.trial_id)

    def copy(self, spec: TrialSpec, into: TrialStore) -> bool:
        """Copy the specification, points and end of a trial, if a storage has it; return whether one has."""
        store = self._holder(spec)
        if store is not None:
            into.adopt(store, spec.trial_id, self._codes.now(spec))
        return store is not None

    def _holder(self, spec: TrialSpec) -> TrialStore | None:
        for store, ids in self._stores:
            record = store.usable_record(spec) if spec.trial_id in ids else None
            # Not a trial that ASHA stopped: this sweep's search decides whether it continues.
            if record is None or not record.state.ends_trajectory:
                continue
            if self._keep or not self._codes.differs(record.code):
                return store
            self.other_code.add(spec.trial_id)
        return None

    def note(self) -> str | None:
        """Return a note on the trials that are not reused because their code differs, or None."""
        if not self.other_code:
            return None
        return (
            f"{len(self.other_code)} trials of `earlier` were made by other code of the entrypoint or plug-in and run "
            "anew; append changed_code=keep to take them"
        )
