"""Detection of trials whose entrypoint or plug-in has changed since they ran.

Digests that were declared equal are in `code.json`; each trial's record says which code produced it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from raysweep.core.trial import TrialSpec
from raysweep.storage import layout
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.guests.code import code_named


@dataclass(frozen=True)
class Codes:
    """The code digests of a sweep, and the digests declared equal to them."""

    present: dict[str, str]
    """Digest by name (entrypoint or architecture); raysweep's own architectures are absent."""
    equal: dict[str, tuple[str, ...]]
    """Digests that the user declared equal, by name."""

    def differs(self, code: str | None) -> bool:
        """Whether a trial's code differs from the current code of that name; False where none is recorded."""
        name, _, digest = (code or "").partition("@")
        now = self.present.get(name)
        if now is None or digest == now:
            return False
        equal = self.equal.get(name, ())
        return not (digest in equal and now in equal)

    def now(self, spec: TrialSpec) -> str | None:
        """Return the current code of a trial in the form of its record; None for raysweep's own training."""
        name = spec.entrypoint or spec.architecture
        return f"{name}@{self.present[name]}" if name in self.present else None


def codes(entrypoint: str | None, architectures: Iterable[str], store: TrialStore) -> Codes:
    """Compute the current code digests of an entrypoint, or of plug-ins' architectures."""
    present = {}
    for architecture in architectures:
        code = code_named(entrypoint, architecture)
        if code is not None:
            name, _, digest = code.partition("@")
            present[name] = digest
    content = store.read_json(layout.CODE)
    equal = content.items() if isinstance(content, dict) else ()
    return Codes(present, {str(name): tuple(map(str, digests)) for name, digests in equal})


def changed(store: TrialStore, known: Codes) -> dict[str, str]:
    """Return the trials whose code differs, with their code."""
    if not known.present:
        return {}
    found = {trial_id: store.record(trial_id).code for trial_id in store.ids()}
    return {trial_id: code for trial_id, code in found.items() if code is not None and known.differs(code)}


def note(store: TrialStore, known: Codes) -> str | None:
    """Return a note on the number of trials made by other code, or None."""
    old = changed(store, known)
    return (
        f"{len(old)} trials were made by other code than there is now; `raysweep run` asks about them" if old else None
    )
