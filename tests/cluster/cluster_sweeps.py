"""Search spaces for two hosts, and what is asked of every sweep when it is over, whatever happened on the way."""

import itertools
from collections import Counter
from pathlib import Path

import chain_trials
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from raysweep.core.points import TIMED, to_table
from raysweep.storage.trial_store import TrialStore


def chain_space(
    folder: Path,
    nap: float,
    widths: int = 4,
    points: int = 5,
    storage: str | None = None,
    every: int = chain_trials.EVERY,
    **changes: object,
) -> Path:
    """Write a search space around `chain_trials` and return its file.

    Args:
        folder: where to.
        nap: seconds that a step takes.
        widths: number of trials.
        points: of each trial.
        storage: of the sweep; a folder beside the file where there is none.
        every: steps for each point.
        changes: further keys of the search space.
    """
    content: dict[str, object] = {
        "name": "chain",
        "storage": storage or str(folder / "sweep"),
        "entrypoint": "chain_trials:train",
        "families": {
            "chain": {
                "architecture": "chain",
                "fixed": {"nap": nap, "every": every},
                "sizes": {"width": [8 + 4 * i for i in range(widths)]},
            }
        },
        "grid": {"structures": [100 * (i + 1) for i in range(points)]},
        "learning_rate": {"rates": {"chain": 0.02}},
        "resources": {"cpu": 1},
        **changes,
    }
    path = folder / "chain.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def points_of(storage: Path, name: str = "points.parquet") -> pa.Table:
    return pq.read_table(storage / name)


def expected_points(store: TrialStore) -> pa.Table:
    """Return what the sweep's points are in a run that nothing ever touched."""
    return pa.concat_tables([to_table(chain_trials.expected(store.spec(i))) for i in sorted(store.ids())])


def assert_whole(store: TrialStore, points: pa.Table, trials: int) -> None:
    """Hold that no point is lost, doubled or wrong."""
    assert len(store.ids()) == trials
    order = [("trial_id", "ascending"), ("step", "ascending")]
    wanted = expected_points(store).sort_by(order)
    found = points.select(wanted.column_names).sort_by(order)
    assert found.cast(wanted.schema).equals(wanted), "points are lost, doubled or wrong"


def steps_made_twice(notes: list[dict[str, object]]) -> dict[str, int]:
    """Return how many steps of each trial were made more than once."""
    made = Counter((str(row["trial"]), row["step"]) for row in notes)
    twice: Counter[str] = Counter()
    for (trial, _), count in made.items():
        twice[trial] += count - 1
    return {trial: count for trial, count in twice.items() if count}


def steps_lost(notes: list[dict[str, object]], nap: float) -> dict[str, int]:
    """Return how many steps of each trial were done again that had been made when the worker that redid them began.

    What a worker that was cut off does beside its successor is no loss, and does not count.
    """
    lost: dict[str, int] = {}
    for trial in {str(row["trial"]) for row in notes}:
        by_worker: dict[object, list[dict[str, object]]] = {}
        for row in sorted((row for row in notes if row["trial"] == trial), key=lambda row: float(str(row["at"]))):
            by_worker.setdefault((row["host"], row["process"]), []).append(row)
        attempts = list(by_worker.values())
        for before, after in itertools.pairwise(attempts):
            began = float(str(after[0]["at"])) - nap
            again = {row["step"] for row in after}
            lost[trial] = lost.get(trial, 0) + sum(
                row["step"] in again for row in before if float(str(row["at"])) < began
            )
    return {trial: count for trial, count in lost.items() if count}


def quickstart_space(folder: Path, name: str) -> Path:
    """Write the quickstart with two families of two sizes and little data, storage and all under `folder`/`name`."""
    content = yaml.safe_load((Path(__file__).parents[2] / "search_spaces" / "quickstart.yaml").read_text())
    root = folder / name
    content["storage"] = str(root)
    content["data"] = {
        "store": str(root / "data"), "make": {"structures": 400, "seed": 0}, "validation_structures": 40
    }  # fmt: skip
    content["families"] = {key: content["families"][key] for key in ("mpnn", "tensor-l2")}
    for family in content["families"].values():
        family["sizes"]["width"] = family["sizes"]["width"][:2]
    content["grid"] = {"structures": [80, 160, 320]}
    content["learning_rate"] |= {"structures": 120, "trials": 3, "widenings": 0}
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def learned(points: pa.Table) -> pa.Table:
    """Return what was learned, in one order: all columns but those that say how fast a machine was."""
    kept = points.drop_columns([name for name in TIMED if name in points.column_names])
    return kept.sort_by([(name, "ascending") for name in ("stage", "family", "trial_id", "step", "budget_kind")])
