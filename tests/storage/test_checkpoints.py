"""An attempt begins with what earlier ones saved, and nobody but its worker writes into its folder."""

from pathlib import Path

import pytest
from pyarrow import fs

from raysweep.core.io.files import read_whole, write_whole
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.storage import checkpoints as attempts
from raysweep.storage.trial_store import TrialStore

LOCAL = fs.LocalFileSystem()
SPEC = TrialSpec(
    architecture="toy", size={"width": 8}, fingerprint="f" * 64, structures=100, learning_rate=0.1, seed=0
)  # fmt: skip


def test_attempt_takes_over_what_the_one_before_it_saved(tmp_path: Path) -> None:
    folder = str(tmp_path / "checkpoints")
    first = attempts.take_over(LOCAL, folder, 1, "a" * 32)
    write_whole(LOCAL, f"{first}/step-1.json", b"one")
    write_whole(LOCAL, f"{first}/inner/step-1.bin", b"two")
    second = attempts.take_over(LOCAL, folder, 2, "b" * 32)
    assert read_whole(LOCAL, f"{second}/step-1.json") == b"one"
    assert read_whole(LOCAL, f"{second}/inner/step-1.bin") == b"two"
    assert [path.name for path in Path(folder).iterdir()] == [Path(second).name]
    assert attempts.newest(LOCAL, folder) == second


def test_worker_that_lives_on_leaves_its_successors_files_alone(tmp_path: Path) -> None:
    folder = str(tmp_path / "checkpoints")
    late = attempts.take_over(LOCAL, folder, 1, "a" * 32)
    write_whole(LOCAL, f"{late}/state", b"step 3")
    successor = attempts.take_over(LOCAL, folder, 2, "b" * 32)
    write_whole(LOCAL, f"{successor}/state", b"step 4")
    write_whole(LOCAL, f"{late}/state", b"step 9, of the late one")
    assert read_whole(LOCAL, f"{successor}/state") == b"step 4"
    third = attempts.take_over(LOCAL, folder, 3, "c" * 32)
    assert read_whole(LOCAL, f"{third}/state") == b"step 4"  # the newest attempt's, not the newest file


def test_take_over_that_was_killed_in_the_middle_is_done_again(tmp_path: Path) -> None:
    folder = str(tmp_path / "checkpoints")
    write_whole(LOCAL, f"{folder}/step-1.json", b"of a version that had no folders for attempts")
    write_whole(LOCAL, f"{folder}/000001-aaaaaaaaaaaa/step-2.json", b"2")
    write_whole(LOCAL, f"{folder}/000001-aaaaaaaaaaaa/step-2.tensors", b"22")
    write_whole(LOCAL, f"{folder}/000002-bbbbbbbbbbbb/step-2.json", b"2")  # copied, and killed before the next
    third = attempts.take_over(LOCAL, folder, 3, "c" * 32)
    assert {path.name for path in Path(third).iterdir()} == {"step-1.json", "step-2.json", "step-2.tensors"}


@pytest.mark.parametrize("state", [TrialState.DONE, TrialState.FAILED])
def test_late_writer_is_refused_also_where_its_storage_was_away_for_long(tmp_path: Path, state: TrialState) -> None:
    """Between the late worker's decision to write and the moment at which it can, its successor begins."""
    store, other = TrialStore(str(tmp_path)), TrialStore(str(tmp_path))
    late = store.begin(SPEC)
    taken: list[object] = []
    holds = store.holds

    def overtaken(claim: object) -> bool:
        if not taken:
            taken.append(other.begin(SPEC))
        return holds(late)

    store.holds = overtaken  # type: ignore[method-assign]
    assert not store.end(late, state, [], None)
    assert not (tmp_path / "trials" / SPEC.trial_id / "points.arrow").exists()
    assert other.record(SPEC.trial_id).state == TrialState.RUNNING
    assert other.record(SPEC.trial_id).attempt == 2
