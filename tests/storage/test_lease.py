"""One driver at a time, none that is dead stands in the way, and none that was taken over writes any more."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from raysweep.core.errors import RaysweepError, Stopped
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.storage import lease as leases
from raysweep.storage.layout import LEASE
from raysweep.storage.lease import LeaseLostError, driver_lease, running_driver
from raysweep.storage.trial_store import TrialStore


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(leases, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr(leases, "POLL_SECONDS", 0.05)


def held_by(folder: Path, age: float = 0.0, **change: object) -> dict[str, object]:
    """Leave a lock of somebody else, whose last beat is so many seconds old by the clock of the disk."""
    with driver_lease(str(folder)):
        content = json.loads((folder / LEASE).read_text()) | change
    (folder / LEASE).write_text(json.dumps(content))
    then = time.time() - age
    os.utime(folder / LEASE, (then, then))
    return content


def test_lock_is_gone_after_the_block_also_after_an_error(tmp_path: Path) -> None:
    with driver_lease(str(tmp_path)) as lock:
        assert lock.note is None
        assert json.loads((tmp_path / LEASE).read_text())["pid"] == os.getpid()
    assert not (tmp_path / LEASE).exists()
    with pytest.raises(ValueError, match="boom"), driver_lease(str(tmp_path)):
        raise ValueError("boom")
    assert not (tmp_path / LEASE).exists()


def test_second_driver_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    refused = pytest.raises(RaysweepError, match=f"process {os.getpid()} on .* runs this sweep")
    with driver_lease(str(tmp_path)), refused, driver_lease(str(tmp_path)):
        pytest.fail("two drivers")


@pytest.mark.parametrize("change", [{}, {"pid_started": "1"}])
def test_lock_of_a_dead_driver_on_this_host_is_taken_over_at_once(tmp_path: Path, change: dict[str, object]) -> None:
    if not change:
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        change = {"pid": gone.pid}
    held_by(tmp_path, **change)  # a process that is gone, or its number in use again
    assert running_driver(str(tmp_path)) is None
    watched: list[str] = []
    with driver_lease(str(tmp_path), watched.append) as lock:
        assert lock.note is not None
        assert "is dead" in lock.note
    assert watched == []


@pytest.mark.parametrize("change", [{"host": "elsewhere"}, {"boot": "another"}, {"pid_namespace": "pid:[1]"}])
def test_a_driver_elsewhere_that_beat_long_ago_is_taken_over_at_once(tmp_path: Path, change: dict[str, object]) -> None:
    held_by(tmp_path, age=2.0, **change)
    assert running_driver(str(tmp_path)) is None
    watched: list[str] = []
    with driver_lease(str(tmp_path), watched.append) as lock:
        assert lock.note is not None
    assert watched == []


def test_a_driver_elsewhere_that_beat_just_now_is_watched_for_a_lease(tmp_path: Path) -> None:
    held_by(tmp_path, host="elsewhere")
    assert running_driver(str(tmp_path)) is not None
    said: list[str] = []
    began = time.monotonic()
    with driver_lease(str(tmp_path), said.append) as lock:
        assert lock.note is not None
    assert time.monotonic() - began > 0.8
    assert "on elsewhere" in said[0]
    assert "waiting up to 1 s" in said[0]


def test_a_driver_elsewhere_that_beats_is_not_taken_over(tmp_path: Path) -> None:
    content = held_by(tmp_path, host="elsewhere")
    over = threading.Event()

    def beat() -> None:
        count = 0
        while not over.wait(0.1):
            count += 1
            (tmp_path / "new").write_text(json.dumps(content | {"beat": count}))
            (tmp_path / "new").replace(tmp_path / LEASE)

    beats = threading.Thread(target=beat)
    beats.start()
    with (
        pytest.raises(RaysweepError, match=r"on elsewhere .* runs this sweep and is alive"),
        driver_lease(str(tmp_path)),
    ):
        pytest.fail("not refused")
    over.set()
    beats.join()


def test_a_driver_beats_while_it_holds_the_storage(tmp_path: Path) -> None:
    with driver_lease(str(tmp_path)):
        seen = set()
        for _ in range(12):
            seen.add(json.loads((tmp_path / LEASE).read_text())["beat"])
            time.sleep(0.1)
    assert len(seen) > 3


def test_a_driver_that_was_taken_over_writes_nothing_more(tmp_path: Path) -> None:
    spec = TrialSpec(architecture="toy", size={"width": 8}, fingerprint="none", structures=10, learning_rate=0.1)
    with driver_lease(str(tmp_path)) as lock:
        store = TrialStore(str(tmp_path), lock)
        store.begin(spec)
        store.write_json("learning_rates.json", {"a": 1})
        other = json.loads((tmp_path / LEASE).read_text()) | {"token": "other", "host": "elsewhere", "since": "later"}
        (tmp_path / LEASE).write_text(json.dumps(other))
        for write in (
            lambda: store.write_json("learning_rates.json", {"a": 2}),
            lambda: store.write_bytes("points.parquet", b"x"),
            lambda: store.close(spec.trial_id, TrialState.CANCELLED, []),
        ):
            with pytest.raises(LeaseLostError, match=r"on elsewhere .since later. has taken over this sweep"):
                write()
        assert store.read_json("learning_rates.json") == {"a": 1}
        assert store.state(spec.trial_id) == TrialState.RUNNING
    assert json.loads((tmp_path / LEASE).read_text())["token"] == "other", "another driver's lock was deleted"


def test_a_driver_whose_lock_is_gone_was_taken_over_by_one_that_has_ended(tmp_path: Path) -> None:
    with driver_lease(str(tmp_path)) as lock:
        (tmp_path / LEASE).unlink()
        with pytest.raises(LeaseLostError, match="another driver, which has ended since, has taken over this sweep"):
            lock.check()
    assert not (tmp_path / LEASE).exists()


def test_a_driver_finds_out_by_its_beats_that_it_was_taken_over(tmp_path: Path) -> None:
    with driver_lease(str(tmp_path)) as lock:
        other = json.loads((tmp_path / LEASE).read_text()) | {"token": "other"}
        (tmp_path / LEASE).write_text(json.dumps(other))
        until = time.monotonic() + 5
        while not lock.lost and time.monotonic() < until:
            time.sleep(0.05)
        with pytest.raises(LeaseLostError):
            lock.check_heartbeat()


def test_torn_lock_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / LEASE).write_text('{"pid": ')
    with driver_lease(str(tmp_path)) as lock:
        assert lock.note is None


@pytest.mark.parametrize("how", ["delete", "move", "replace"])
def test_folder_that_is_taken_away_under_a_driver_is_named_and_not_made_anew(tmp_path: Path, how: str) -> None:
    storage = tmp_path / "sweep"
    with driver_lease(str(storage)) as lock:
        lock.check()
        shutil.rmtree(storage) if how == "delete" else storage.rename(tmp_path / "moved")
        if how == "replace":  # by a worker that goes on writing
            (storage / "trials").mkdir(parents=True)
        with pytest.raises(Stopped, match="was deleted, moved or unmounted under the sweep; restore it") as error:
            lock.check()
        assert error.value.exit_code == 75
        lock._send_heartbeats()
    assert [path.name for path in storage.rglob("*")] == (["trials"] if how == "replace" else [])
