"""Runs of MLflow as plain values, found by their tags and never by their names."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from raysweep.core.trial import INTERRUPTED, TrialState
from raysweep.tracking import rows as texts
from raysweep.tracking.client import RunClient, RunRecord
from raysweep.tracking.views import SERVES, STATE

KIND, SWEEP, STORAGE, STAGE, FAMILY = (f"raysweep.{name}" for name in ("kind", "sweep", "storage", "stage", "family"))
TRIAL_ID = "raysweep.trial_id"
LOGGED = "mlflow.raysweep.points_logged"
"""Number of points whose metrics are written, set in the same batch; their exact text is always written before."""

MESSAGE = "raysweep.message"
REPORT = "raysweep.report"
"""Digest of the report among the artifacts of the sweep's run."""

PARENT = "mlflow.parentRunId"
NAME = "mlflow.runName"

_PAGE = 1000
_FIRST_PAGE = 250
"""Runs that are read first; if there are more, all are read again in partitions."""
_PARTS = [f"tags.`{TRIAL_ID}` LIKE '{digit}%'" for digit in "0123456789abcdef"] + [f"tags.`{KIND}` != 'trial'"]
"""Filters that partition a large experiment for concurrent searches: pages of one search follow each other."""
_SEARCHES_AT_ONCE = 4


@dataclass
class Entry:
    """One run as MLflow holds it, updated with every write."""

    run_id: str
    status: str
    started_ms: int
    """Milliseconds since 1970."""
    tags: dict[str, str]
    params: dict[str, str] = field(default_factory=dict)
    rows: list[str] | None = field(default_factory=list)
    """Its points (see `rows`); None: their text is torn."""

    @property
    def logged(self) -> int:
        """Number of points whose metrics are written as well."""
        text = self.tags.get(LOGGED, "0")
        return int(text) if text.isdecimal() else 0

    @property
    def serves(self) -> tuple[tuple[str, str], ...]:
        """The (stage, family) pairs that the trial serves."""
        return parse_serves(self.tags.get(SERVES, "[]"))

    @property
    def ended(self) -> bool:
        """Whether the trial has ended, so that its points count."""
        return self.tags.get(STATE) not in (None, INTERRUPTED, *(state for state in TrialState if state.is_open))


def write_serves(serves: tuple[tuple[str, str], ...]) -> str:
    """Serialize (stage, family) pairs for a tag."""
    return json.dumps([list(pair) for pair in serves])


def parse_serves(text: str) -> tuple[tuple[str, str], ...]:
    """Parse the (stage, family) pairs of a tag; none if raysweep did not write it."""
    try:
        return tuple((str(stage), str(family)) for stage, family in json.loads(text))
    except (ValueError, TypeError):
        return ()


def entries(client: RunClient, experiment_id: str) -> list[Entry]:
    """Read all runs of an experiment that raysweep wrote, the oldest first."""
    found, more = client.search(experiment_id, "", _FIRST_PAGE, None)
    if more:
        with ThreadPoolExecutor(_SEARCHES_AT_ONCE) as pool:
            parts = list(pool.map(lambda part: _search(client, experiment_id, part), _PARTS))
        found = [record for part in parts for record in part]
    ours = [entry_of(record) for record in found if KIND in record.tags]
    return sorted(ours, key=lambda entry: (entry.started_ms, entry.run_id))


def _search(client: RunClient, experiment_id: str, where: str) -> list[RunRecord]:
    found, token = client.search(experiment_id, where, _PAGE, None)
    while token:
        page, token = client.search(experiment_id, where, _PAGE, token)
        found += page
    return found


def entry_of(record: RunRecord) -> Entry:
    """Wrap a run with its points decoded."""
    return Entry(*record, rows=texts.decode(record.tags))


def rank(entry: Entry) -> tuple[bool, int]:
    """Rank runs of the same trial: one that ended before one that did not, then by the number of points."""
    return entry.ended, len(entry.rows or ())
