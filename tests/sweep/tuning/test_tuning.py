"""The learning-rate stage ends with the same rates, survivors and points whatever is faster, and after any kill."""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import rude_trials
import toy_trials
from hypothesis import given, settings
from hypothesis import strategies as st
from serial import KilledError, run_serially
from toy_sweep import Recorder, SpaceMaker, toy_space

from raysweep.core.errors import SpaceError
from raysweep.core.hashing import digest
from raysweep.core.points import POINT_SCHEMA, Point
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.plan.specs import TrialSpecs
from raysweep.sweep.preview import plan
from raysweep.sweep.space.facts import data_facts
from raysweep.sweep.space.space import Space
from raysweep.sweep.stages.stage import Listeners
from raysweep.sweep.stages.tuning import TuningStage


def tune(space: Space, workers: int, draw: random.Random, events: int = 10**9) -> tuple[TuningStage, Recorder]:
    facts = data_facts(space)
    assert facts is not None
    store, recorder = TrialStore(space.storage), Recorder()
    stage = TuningStage(TrialSpecs.of(space, facts), store, Listeners([recorder]))
    run_serially(stage, store, workers=workers, draw=draw, events=events)
    store.write_searches(stage.report().values())
    store.write_assignments(stage.assignments())
    return stage, recorder


def outcome(space: Space) -> tuple[object, object]:
    store = TrialStore(space.storage)
    return json.dumps(store.read_json("learning_rates.json")), store.table().to_pylist()


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, object]:
    space = toy_space(tmp_path_factory.mktemp("reference"))
    tune(space, 1, random.Random(0))
    return outcome(space)


@settings(max_examples=25, deadline=None)
@given(workers=st.integers(1, 5), seed=st.integers(0, 10**6))
def test_any_number_of_workers_at_any_speed_gives_the_same_rates_and_points(
    tmp_path_factory: pytest.TempPathFactory, reference: tuple[object, object], workers: int, seed: int
) -> None:
    space = toy_space(tmp_path_factory.mktemp("any"))
    _, recorder = tune(space, workers, random.Random(seed))
    assert outcome(space) == reference
    # The listener heard just what counts, though some trials went on past the rung at which they were stopped.
    table = TrialStore(space.storage).table().to_pandas()
    heard = {i: [p.loss for p in points] for i, points in recorder.points.items()}
    assert heard == table.groupby("trial_id").loss.apply(list).to_dict()
    states = {i: TrialStore(space.storage).state(i) for i in heard}
    assert {i: state for i, (state, _) in recorder.ended.items()} == states


@settings(max_examples=25, deadline=None)
@given(workers=st.integers(1, 4), seed=st.integers(0, 10**6), kills=st.lists(st.integers(1, 40), max_size=4))
def test_a_stage_that_was_killed_anywhere_ends_as_if_it_had_not_been(
    tmp_path_factory: pytest.TempPathFactory,
    reference: tuple[object, object],
    workers: int,
    seed: int,
    kills: list[int],
) -> None:
    space, draw = toy_space(tmp_path_factory.mktemp("killed")), random.Random(seed)
    for events in kills:
        try:
            tune(space, workers, draw, events)
        except KilledError:
            continue
    tune(space, workers, draw)
    assert outcome(space) == reference


def test_rates_are_found_near_the_best_and_most_trials_are_stopped(make_space: SpaceMaker) -> None:
    space = make_space()
    stage, recorder = tune(space, 2, random.Random(1))
    for row in stage.report().values():
        assert row.method in ("parabola", "centre")
        assert abs(math.log(float(str(row.rate)) / toy_trials.BEST_RATE)) < math.log(2)
        assert row.edge is None
    states = [state for state, _ in recorder.ended.values()]
    assert states.count(TrialState.STOPPED) >= len(states) / 3


@pytest.mark.parametrize(("low", "high", "side"), [(4e-2, 4e-1, "low"), (2e-4, 2e-3, "high")])
def test_range_is_widened_where_its_end_is_best(make_space: SpaceMaker, low: float, high: float, side: str) -> None:
    space = make_space(learning_rate={"low": low, "high": high, "structures": 90, "trials": 6, "widenings": 6})
    stage, _ = tune(space, 2, random.Random(1))
    for row in stage.report().values():
        assert row.widened >= 1
        assert row.edge is None
        rate = float(str(row.rate))
        assert rate < low if side == "low" else rate > high
        assert abs(math.log(rate / toy_trials.BEST_RATE)) < 0.5


def test_edge_is_reported_where_widening_is_not_allowed(make_space: SpaceMaker) -> None:
    space = make_space(learning_rate={"low": 1e-3, "high": 5e-3, "structures": 90, "trials": 5, "widenings": 0})
    stage, _ = tune(space, 2, random.Random(1))
    assert [row.edge for row in stage.report().values()] == ["high", "high"]
    assert [row.rate for row in stage.report().values()] == [5e-3, 5e-3]


def test_each_size_has_a_rate_of_its_own_without_mup(make_space: SpaceMaker) -> None:
    space = make_space(learning_rate={"low": 2e-3, "high": 2e-1, "structures": 90, "trials": 5, "transfer": "per_size"})
    stage, _ = tune(space, 2, random.Random(1))
    assert [(row.family, row.size) for row in stage.report().values()] == [
        ("a", {"width": 8}),
        ("a", {"width": 16}),
        ("b", {"width": 8}),
        ("b", {"width": 12}),
    ]


def test_a_power_law_through_the_smallest_sizes_gives_the_rates_of_all(make_space: SpaceMaker) -> None:
    families = {"a": {"architecture": "toy", "fixed": {"power": 1}, "sizes": {"width": [32, 4, 8, 16, 128]}}}
    search = {"low": 2e-3, "high": 2e-1, "structures": 90, "trials": 6}
    space = make_space(families=families, learning_rate={**search, "transfer": "power_law"})
    found = plan(space)
    assert found.tuning_trials == 3 * 6
    assert not found.tuned
    stage, _ = tune(space, 2, random.Random(1))
    assert [row.size["width"] for row in stage.report().values()] == [4, 8, 16]
    rates = {int(t.size["width"]): t.spec.learning_rate for t in plan(space).trials if t.spec}
    assert set(rates) == {4, 8, 16, 32, 128}
    slopes = [math.log(rates[w] / rates[4]) / math.log(w / 4) for w in (8, 16, 32, 128)]
    assert slopes == pytest.approx([slopes[0]] * 4, rel=1e-4)
    assert slopes[0] == pytest.approx(-1, abs=0.15)
    assert rates[128] == pytest.approx(toy_trials.BEST_RATE * 8 / 128, rel=0.4)
    assert all(t.spec.base_size is None for t in plan(space).trials if t.spec)
    with pytest.raises(SpaceError, match="power_law needs at least two sizes that differ only in width"):
        make_space(
            families={"a": {"architecture": "toy", "sizes": {"width": [4, 8], "depth": [2, 3]}}},
            learning_rate={**search, "transfer": "power_law"},
        )


def test_report_that_was_altered_is_worked_out_again_from_the_trials(make_space: SpaceMaker) -> None:
    space = make_space()
    tune(space, 2, random.Random(1))
    before = outcome(space)
    path = Path(space.storage) / "learning_rates.json"
    path.write_text(path.read_text().replace('"rate": 0.0', '"rate": 0.1', 1))
    facts = data_facts(space)
    assert facts is not None
    store = TrialStore(space.storage)
    stage = TuningStage(TrialSpecs.of(space, facts), store, Listeners([]))
    assert any("learning_rates.json was altered" in note for note in store.notes)
    assert stage.finished  # all trials were read back, none has to run
    store.write_searches(stage.report().values())
    assert outcome(space) == before


def test_families_that_share_their_base_are_searched_once(make_space: SpaceMaker) -> None:
    families = {
        "a": {"architecture": "toy", "sizes": {"width": [8, 16]}},
        "b": {"architecture": "toy", "sizes": {"width": [8, 32]}},
    }
    space = make_space(families=families)
    stage, _ = tune(space, 2, random.Random(1))
    first, second = stage.report().values()
    assert (first.family, second.family) == ("a", "b")
    assert first.rate == second.rate
    rows = stage.assignments()
    assert [row.trial_id for row in rows if row.family == "a"] == [row.trial_id for row in rows if row.family == "b"]
    assert len(TrialStore(space.storage).ids()) == len(rows) / 2


def test_points_between_budgets_change_neither_rates_nor_points(
    reference: tuple[object, object], tmp_path: Path
) -> None:
    """Rungs are budgets: counted by index, a training that yields four points for each would end at its first rung."""
    space = toy_space(tmp_path / "chatty", entrypoint="rude_trials:chatty")
    _, recorder = tune(space, 2, random.Random(1))
    rows, table = outcome(space)
    expected = json.loads(str(reference[0]))["cells"]
    for row, plain in zip(json.loads(str(rows))["cells"], expected, strict=True):
        for key in ("rate", "method", "edge", "widened"):
            assert row[key] == plain[key]
        for key in ("data", "losses", "state", "learning_rate"):
            assert [trial[key] for trial in row["trials"]] == [trial[key] for trial in plain["trials"]]
    assert [row["loss"] for row in table] == [row["loss"] for row in reference[1]]  # type: ignore[attr-defined]
    assert sum(map(len, recorder.points.values())) == len(table)  # type: ignore[arg-type]


def old_points(spec: TrialSpec, how: str) -> list[Point]:
    """Return what a version of raysweep that checked no points may have left of a trial that is done."""
    points = list(rude_trials.chatty(spec, None, checkpoints=None, device=None))
    if how == "short":
        return [point for point in points if point.budget in spec.data_budgets[:2]]
    return points


@pytest.mark.parametrize("how", ["between", "short"])
def test_trials_whose_points_nobody_checked_are_run_again(
    how: str, make_space: SpaceMaker, reference: tuple[object, object]
) -> None:
    space = make_space()
    tune(space, 1, random.Random(0))
    store = TrialStore(space.storage)
    before = outcome(space)
    assert before == reference
    Path(space.storage, "learning_rates.json").unlink()
    for trial_id in store.ids():
        spec = store.spec(trial_id)
        store.end(store.begin(spec), TrialState.DONE, old_points(spec, how))
    tune(space, 1, random.Random(0))
    assert outcome(space) == before
    fresh = TrialStore(space.storage)
    assert all(fresh.usable_record(fresh.spec(i)).state.is_final for i in fresh.ids())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop_columns(["peak_memory"]), "has another schema"),
        (lambda t: t.set_column(0, t.schema.field(0), [["f" * 16] * t.num_rows]), "holds another trial's points"),
        (lambda t: t.set_column(16, t.schema.field(16), pa.nulls(t.num_rows, pa.float64())), "point without loss"),
        (
            lambda t: t.set_column(16, t.schema.field(16), pa.array([math.nan] * t.num_rows)),
            "point without a finite loss",
        ),
        (None, "is not an Arrow file"),
    ],
)
def test_bad_points_on_disk_are_named_and_run_again(
    change: Callable[[pa.Table], pa.Table] | None, words: str, make_space: SpaceMaker
) -> None:
    space = make_space()
    tune(space, 1, random.Random(0))
    before = outcome(space)
    Path(space.storage, "learning_rates.json").unlink()
    store = TrialStore(space.storage)
    assert POINT_SCHEMA.names[16] == "loss"
    trial_id = next(i for i in store.ids() if store.state(i) == TrialState.DONE)
    folder = Path(space.storage, "trials", trial_id)
    sink = pa.BufferOutputStream()
    table = store.points(trial_id) if change is None else change(store.points(trial_id))
    with pa.ipc.new_file(sink, table.schema) as stream:
        stream.write_table(table)
    data = b"no table" if change is None else sink.getvalue().to_pybytes()
    (folder / "points.arrow").write_bytes(data)
    record = json.loads((folder / "state.json").read_text())
    del record["sha256"]
    record["points_sha256"] = digest(data)  # it was written so, and is not torn
    checksum = digest(json.dumps(record, sort_keys=True, separators=(",", ":")).encode())
    (folder / "state.json").write_text(json.dumps({**record, "sha256": checksum}))
    reader = TrialStore(space.storage)
    assert reader.table().num_rows < len(before[1])  # type: ignore[arg-type]
    assert [note for note in reader.notes if f"trial {trial_id}: points.arrow" in note and words in note]
    tune(space, 1, random.Random(0))
    assert outcome(space) == before
    assert store.state(trial_id) == TrialState.DONE
    assert store.record(trial_id).attempt == 2
