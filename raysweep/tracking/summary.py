"""Summaries for the runs of a sweep and its stages: trials by state, and the lowest loss of each family."""

import json
import math
from collections import Counter
from collections.abc import Iterable

from raysweep.core.points import POINT_SCHEMA
from raysweep.core.text import markdown
from raysweep.tracking.entries import Entry
from raysweep.tracking.views import STATE, clean_value

_LOSS = POINT_SCHEMA.get_field_index("loss")


def summarise(sweep: str, stage: str, trials: Iterable[Entry]) -> dict[str, str]:
    """Build the tags of the run of a stage, or of the sweep (stage ""), from its trials' runs."""
    states: Counter[str] = Counter()
    families: dict[str, list[Entry]] = {}
    for entry in trials:
        states[entry.tags.get(STATE, "unknown")] += 1
        for family in dict.fromkeys(f for s, f in entry.serves if stage in ("", s)):
            families.setdefault(family, []).append(entry)
    counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"
    lines = [f"{'Stage ' + stage + ' of sweep' if stage else 'Sweep'} {markdown(sweep)}: trials {counts}.", ""]
    lines += ["| family | trials | points | lowest loss |", "|---|---|---|---|"]
    for family, served in sorted(families.items()):
        losses = [loss for entry in served for loss in _losses(entry)]
        lowest = f"{min(losses):.4g}" if losses else "none"
        lines.append(f"| {markdown(family)} | {len(served)} | {sum(len(e.rows or ()) for e in served)} | {lowest} |")
    return {"raysweep.trials": counts, "mlflow.note.content": clean_value("\n".join(lines))}


def _losses(entry: Entry) -> list[float]:
    found = [json.loads(row)[_LOSS] for row in entry.rows or ()]
    return [loss for loss in found if loss is not None and not math.isnan(loss)]
