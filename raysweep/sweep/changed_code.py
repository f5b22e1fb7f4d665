"""Which trials were made by other code than their entrypoint, or the plug-in of their architecture, has now.

Which digests were declared equal is kept in `code.json`; each trial's record says by which code it was made.
"""

from dataclasses import dataclass

from raysweep.sweep.code import code_named
from raysweep.sweep.space import Space
from raysweep.sweep.trial_store import TrialStore
from raysweep.trial import TrialSpec

FILE = "code.json"


@dataclass(frozen=True)
class Codes:
    """The code of a sweep by name, and what else counts as the same."""

    present: dict[str, str]
    """Name (entrypoint or architecture) to digest; nothing of what is raysweep's own."""
    equal: dict[str, tuple[str, ...]]
    """By name digests that the user declared equal."""

    def differs(self, code: str | None) -> bool:
        """Return whether a trial was made by other code than its name stands for now; not where it says nothing."""
        name, _, digest = (code or "").partition("@")
        now = self.present.get(name)
        if now is None or digest == now:
            return False
        equal = self.equal.get(name, ())
        return not (digest in equal and now in equal)

    def now(self, spec: TrialSpec) -> str | None:
        """Return the code of a trial as its record keeps it, None where raysweep's own trains it."""
        name = spec.entrypoint or spec.architecture
        return f"{name}@{self.present[name]}" if name in self.present else None


def codes(space: Space, store: TrialStore) -> Codes:
    """Return the code of a search space as it is on disk now."""
    present = {}
    for family in space.families.values():
        code = code_named(space.entrypoint, family.architecture)
        if code is not None:
            name, _, digest = code.partition("@")
            present[name] = digest
    content = store.read_json(FILE)
    equal = content.items() if isinstance(content, dict) else ()
    return Codes(present, {str(name): tuple(map(str, digests)) for name, digests in equal})


def changed(store: TrialStore, known: Codes) -> dict[str, str]:
    """Return the trials that were made by other code, and that code."""
    if not known.present:
        return {}
    found = {trial_id: store.record(trial_id).code for trial_id in store.ids()}
    return {trial_id: code for trial_id, code in found.items() if code is not None and known.differs(code)}


def note(store: TrialStore, known: Codes) -> str | None:
    """Return in words how many trials were made by other code, None where none was."""
    old = changed(store, known)
    return (
        f"{len(old)} trials were made by other code than there is now; `raysweep run` asks about them" if old else None
    )
