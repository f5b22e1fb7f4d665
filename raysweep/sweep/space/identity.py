"""The identity of the sweep in a storage: name, structures and training; other sweeps are refused.

More seeds, sizes, budgets or families are the same sweep, which grows: a trial's id is the hash of its content. A sweep
of another name or of other structures in the same storage would take the place of the first one in the report, the
frontier and MLflow.
"""

import platform
from collections.abc import Mapping

from raysweep.core.io.files import absolute
from raysweep.core.masking import masked, masked_values
from raysweep.core.trial import NO_DATA
from raysweep.core.version import __version__
from raysweep.storage import layout
from raysweep.storage.reader import SweepReader
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.space.facts import DataFacts, data_fingerprint
from raysweep.sweep.space.space import Space

_COMPARED = ("forces", "training", "data.validation_structures", "learning_rate.transfer")
"""Settings that change trials of the same sizes, so that the report of the last run does not describe them."""


def write_identity(store: TrialStore, space: Space, facts: DataFacts) -> None:
    """Write the sweep's identity into its storage: name, structures, resolved search space, versions."""
    content = {
        "name": space.name,
        "space": space.model_dump(mode="json"),
        "fingerprint": facts.fingerprint,
        "versions": {"raysweep": __version__, "python": platform.python_version()},
    }
    store.write_json(layout.SWEEP, masked_values(content))


def refuse_other_sweep(space: Space, reader: SweepReader, fingerprint: str | None = None) -> None:
    """Refuse a storage that another sweep has used.

    Args:
        space: the search space.
        reader: of its storage.
        fingerprint: of the structure store; None: read from the store, if it exists.

    Raises:
        SpaceError: the storage is another sweep's; names both and the remedy.
    """
    kept = reader.identity()
    if kept is None:
        return
    place = masked(absolute(space.storage))
    name = kept.get("name")
    if name != space.name:
        raise space.error(
            ("storage",),
            f"{place} holds the sweep {name!r}, and this one is {space.name!r}: give it a storage of its own, or set "
            f"name: {name} where it is the same sweep",
        )
    remedy = "give this one a storage of its own (and a name), since neither can be compared with the other"
    last = reader.recorded_space() or {}
    entrypoint = last.get("entrypoint", space.entrypoint)
    if entrypoint != space.entrypoint:
        shown = [text or "raysweep's own training" for text in (entrypoint, space.entrypoint)]
        raise space.error(
            ("entrypoint",) if space.entrypoint else ("storage",),
            f"{place} holds a sweep {name!r} of {shown[0]}, and this one is of {shown[1]}: {remedy}",
        )
    before, now = kept.get("fingerprint"), fingerprint or data_fingerprint(space.data)
    if before is not None and now is not None and before != now:
        shown = ["no structures" if text == NO_DATA else f"structures {text[:12]}" for text in map(str, (before, now))]
        data = masked(space.data.store) if space.data else "no data.store"
        raise space.error(
            ("data", "store") if space.data else ("storage",),
            f"{place} holds a sweep {name!r} on {shown[0]}, and {data} has {shown[1]} (see `raysweep data info`): "
            f"{remedy}",
        )


def as_last_run(space: Space, reader: SweepReader) -> Space:
    """Return the space with the rounds of the last run, where a command asked for them (`--adaptive`, `choose`)."""
    last = reader.recorded_space() or {}
    if (reader.identity() or {}).get("name") != space.name:
        return space
    for name, part in (("race", space.race), ("adaptive", space.adaptive)):
        settings = last.get(name)
        by_file = name == "adaptive" and _value(last, "grid.design") == "auto"  # no command asked for it
        if isinstance(settings, dict) and settings.get("enabled") and not by_file:
            given = part.model_dump(exclude_unset=True)
            return space.model_copy(update={name: type(part)(**{**settings, **given, "enabled": True})})
    return space


def differences(space: Space, reader: SweepReader) -> list[str]:
    """Describe each setting in which a storage's last run differs from the search space.

    The storage's results are then those of the last run.
    """
    last = reader.recorded_space()
    if last is None:
        return []
    now = space.model_dump(mode="json")
    found = []
    for key in _COMPARED:
        before, after = _value(last, key), _value(now, key)
        if before != after and before is not None and after is not None:
            found.append(
                f"{key}: the last run had {_shown(before, after)}, the search space has {_shown(after, before)}"
            )
    families = last.get("families")
    if isinstance(families, dict):
        absent = [label for label in space.families if label not in families]
        found += [f"families.{label}: it was not in the last run" for label in absent]
    return found


def _value(content: Mapping[str, object], key: str) -> object:
    for part in key.split("."):
        found = content.get(part)
        if not isinstance(found, Mapping):
            return found
        content = found
    return content


def _shown(value: object, other: object) -> str:
    """Return a value; of a mapping, the entries that differ from the other."""
    if isinstance(value, Mapping) and isinstance(other, Mapping):
        return ", ".join(f"{k} {v}" for k, v in value.items() if other.get(k) != v) or "nothing of it"
    return str(value)
