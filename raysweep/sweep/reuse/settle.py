"""Handling of trials made by other code: keep, redo or ask (`changed_code`)."""

from collections import Counter
from collections.abc import Iterable

from raysweep.core.trial import TrialState
from raysweep.storage import layout
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.guests.code import code_files
from raysweep.sweep.reuse.changed_code import Codes, changed, codes
from raysweep.sweep.space.space import Space


def settle(space: Space, store: TrialStore) -> str | None:
    """Apply `changed_code` to trials made by other code; return a line about it, or None.

    Raises:
        SpaceError: the user has to decide (`changed_code: ask`); names the code, the trials and the remedies.
    """
    known = codes(space.entrypoint, space.architectures, store)
    old = changed(store, known)
    if not old:
        return None
    if space.changed_code == "keep":
        merged = {**known.equal, **_merged(known, old.values())}
        store.write_json(layout.CODE, {name: list(digests) for name, digests in sorted(merged.items())})
        return f"{len(old)} trials of other code are kept (changed_code: keep)"
    lost = [trial_id for trial_id in old if _has_something(store, trial_id)]
    if lost and space.changed_code == "ask":
        raise space.error(("changed_code",), _question(store, known, {i: old[i] for i in lost}))
    searches = store.searches()
    kept = [record for record in searches.values() if not {trial.trial_id for trial in record.trials} & set(old)]
    if len(kept) < len(searches):
        store.write_searches(kept)
    for trial_id in old:
        store.forget(trial_id)
    return f"{len(old)} trials of other code run again" if lost else None


def _has_something(store: TrialStore, trial_id: str) -> bool:
    """Whether a trial has results to ask about; one that failed before its first point has none."""
    state = store.state(trial_id)
    if state == TrialState.FAILED:
        return bool(store.points(trial_id).num_rows)
    return state != TrialState.PLANNED


def _merged(known: Codes, old: Iterable[str]) -> dict[str, tuple[str, ...]]:
    merged: dict[str, set[str]] = {}
    for code in old:
        name, _, digest = code.partition("@")
        now = known.present[name]
        before = known.equal.get(name, ())
        merged.setdefault(name, {now, *(before if now in before else ())}).add(digest)
    return {name: tuple(sorted(digests)) for name, digests in merged.items()}


def _question(store: TrialStore, known: Codes, lost: dict[str, str]) -> str:
    states = Counter(str(store.record(trial_id).state).replace("_", " ") for trial_id in lost)
    counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    lines = []
    for name in dict.fromkeys(code.partition("@")[0] for code in lost.values()):
        then = sorted({code.partition("@")[2] for code in lost.values() if code.startswith(f"{name}@")})
        lines.append(f"{name} was {' and '.join(then)}, is {known.present[name]}{_files(name)}")
    return (
        f"{len(lost)} trials in {store.location} ({counts}) were made by other code than there is now: "
        f"{'; '.join(lines)}. Their points must not be mixed. Append changed_code=keep to keep the trials (the change "
        "alters no result), changed_code=redo to run them again, or storage=... for a separate sweep"
    )


def _files(name: str) -> str:
    if ":" not in name:
        return ""
    files = sorted(path.name for path in code_files(name.partition(":")[0]).values())
    return f" ({', '.join(files[:5])}{', ...' if len(files) > 5 else ''})"
