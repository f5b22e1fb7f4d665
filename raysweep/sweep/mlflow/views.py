"""The trials of a storage as MLflow shows them."""

import json

from raysweep.core.errors import TrialError
from raysweep.core.points import from_table
from raysweep.storage.reader import SweepReader
from raysweep.storage.records import Assignment
from raysweep.sweep.stages.stage import describe
from raysweep.tracking.views import TrialView


def trial_views(reader: SweepReader) -> list[TrialView]:
    """Read every trial of a storage, in any state; damage is noted in the reader's `notes`."""
    serving: dict[str, list[Assignment]] = {}
    for assignment in reader.assignments():
        serving.setdefault(assignment.trial_id, []).append(assignment)
    return [_view(reader, trial_id, serving.get(trial_id, [])) for trial_id in reader.ids()]


def _view(reader: SweepReader, trial_id: str, served: list[Assignment]) -> TrialView:
    record = reader.valid_record(trial_id)
    params, tags = _described(reader, served[0]) if served else ({}, {})
    return TrialView(
        trial_id=trial_id,
        serves=tuple((row.stage, row.family) for row in served),
        state=record.state,
        points=from_table(reader.points_or_none(trial_id)),
        params=params,
        tags=tags,
        message=record.message,
        started=record.started,
        ended=record.ended,
    )


def _described(reader: SweepReader, row: Assignment) -> tuple[dict[str, str], dict[str, str]]:
    """Describe a trial by parameters and tags; one whose specification is lost only by its assignment."""
    try:
        return describe(reader.spec(row.trial_id), row.family, row.stage)
    except TrialError as error:  # one trial's damage must not keep the others out of MLflow
        reader.notes.append(str(error))
    size = {f"size.{knob}": str(value) for knob, value in json.loads(row.size).items()}
    params = {**size, "learning_rate": str(row.learning_rate), "seed": str(row.seed)}
    tags = {"trial_id": row.trial_id, "family": row.family, "stage": row.stage}
    return params, {f"raysweep.{name}": value for name, value in tags.items()}
