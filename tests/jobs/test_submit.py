"""A sweep as a job of a real Ray head: once, with the laptop's points, ended and resumed, refused to strangers."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ray_head import BIN, Head, UserMaker, free_port, processes_of, short_folder

from raysweep.core.points import TIMED
from raysweep.core.trial import TrialState
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.run import run
from raysweep.sweep.space.space import load_space
from tests.drivers import Driver
from tests.terminal.on_a_terminal import OnTerminal


def wait_for(condition: Callable[[], bool], seconds: float = 180.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.1)


def ids_running(storage: Path) -> bool:
    store = TrialStore(str(storage))
    return any(store.state(trial_id) == TrialState.RUNNING for trial_id in store.ids())


@pytest.mark.slow  # the next test holds the same of real training
def test_a_submitted_sweep_gives_the_points_of_a_laptop_bit_for_bit(
    head: Head, make_user: UserMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = make_user(head)
    out, err = user.call("submit", "toy.yaml", "--address", head.address)
    assert "package of" in err
    assert "KiB" in err
    assert "submitted job raysweep-toy-" in err
    assert "[3/3]" in out, "the log was not followed to its end"
    monkeypatch.syspath_prepend(str(user.folder))
    local = run(load_space(user.folder / "toy.yaml", [f"storage={tmp_path / 'local'}"]))
    here, there = local.table().drop_columns(TIMED), TrialStore(str(tmp_path / "shared" / "toy")).table()
    assert here.num_rows == 9
    assert here.equals(there.drop_columns(TIMED))


REAL = """
name: real
storage: {folder}/sweep
data: {{store: {folder}/data, make: {{structures: 400}}, validation_structures: 40}}
families:
  mpnn: {{architecture: mpnn, fixed: {{depth: 2}}, sizes: {{width: [8, 16]}}}}
  tensor: {{architecture: tensor, fixed: {{depth: 2, l_max: 2}}, sizes: {{width: [4, 6]}}}}
forces: conservative
grid: {{structures: [80, 160, 320]}}
learning_rate: {{low: 2.0e-3, high: 5.0e-2, trials: 3, structures: 120, rungs: 2, widenings: 0}}
training: {{batch_atoms: 96}}
tracking: {{enabled: false}}
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_real_training_that_was_submitted_gives_the_laptops_points_bit_for_bit(
    head: Head, make_user: UserMaker, tmp_path: Path
) -> None:
    user = make_user(head)
    for name in ("submitted", "plain"):
        (tmp_path / name).mkdir()
        (user.folder / f"{name}.yaml").write_text(REAL.format(folder=tmp_path / name))
    user.call("submit", "submitted.yaml", "--address", head.address)
    user.call("run", "plain.yaml", RAY_AUTH_MODE="disabled", RAY_AUTH_TOKEN="")
    there, here = (TrialStore(str(tmp_path / name / "sweep")).table() for name in ("submitted", "plain"))
    assert here.num_rows > 2 * 2 * 3  # the grid's, and those of the learning-rate stage
    assert there.drop_columns(TIMED).equals(here.drop_columns(TIMED))


@pytest.mark.timeout(900)  # seconds where nothing else runs
def test_submitted_twice_it_runs_once_and_stopped_it_resumes(head: Head, make_user: UserMaker, tmp_path: Path) -> None:
    user, storage = make_user(head), tmp_path / "shared" / "toy"
    (tmp_path / "hold").touch()  # no trial ends before it is gone
    at_once = [user.begin("submit", "toy.yaml", "--address", head.address, "--detach") for _ in range(2)]
    told = [process.streams(180)[1] for process in at_once]
    assert [process.returncode for process in at_once] == [0, 0], told
    assert sum("submitted job" in text for text in told) == sum("joined job" in text for text in told) == 1, told
    follower = user.begin("submit", "toy.yaml", "--address", head.address)
    wait_for(lambda: ids_running(storage))
    report = json.loads(user.call("status", "toy.yaml", "--address", head.address, "--json")[0])
    assert [(job["attempt"], job["state"]) for job in report["jobs"]] == [(1, "RUNNING")]
    assert report["sweep"]["trials"]["running"] >= 1
    _, stopped = user.call("stop", "toy.yaml", "--address", head.address)
    out, joined = follower.streams(180)
    assert "joined job" in joined
    assert "submitted job" not in joined
    assert follower.returncode == 143
    assert "ended by SIGTERM" in out
    assert float(stopped.split("after ")[1].split(" s")[0]) < 10, stopped
    assert not (storage / "driver.json").exists()
    assert all("its progress:" in text for text in told)
    (tmp_path / "hold").unlink()
    command = [str(BIN / "raysweep"), "submit", "toy.yaml", "--address", head.address]
    how = {"columns": 80, "folder": user.folder, "environment": head.environment, "start": Driver}
    with OnTerminal(command, **how) as again:
        again.wait_for("submitted job")
        again.resize(120)
        assert again.end() == 0, again.text
    assert "[3/3] done" in again.text
    assert "Traceback" not in again.text
    store = TrialStore(str(storage))
    assert [store.state(trial_id) for trial_id in store.ids()] == [TrialState.DONE] * 3
    assert "no job of toy runs" in user.call("stop", "toy.yaml", "--address", head.address, status=1)[1]


@pytest.mark.slow
def test_ctrl_c_leaves_the_job_running_and_says_how_to_look_again(
    head: Head, make_user: UserMaker, tmp_path: Path
) -> None:
    user = make_user(head, nap=1.0)
    follower = user.begin("submit", "toy.yaml", "--address", head.address)
    wait_for(lambda: ids_running(tmp_path / "shared" / "toy"))
    follower.send_signal(signal.SIGINT)
    _, err = follower.streams(20)
    assert follower.returncode == 130, err
    assert "goes on" in err
    assert f"raysweep status toy.yaml --address {head.address}" in err
    out, err = user.call("submit", "toy.yaml", "--address", head.address)
    assert "joined job" in err
    assert "[3/3]" in out


@pytest.mark.slow
def test_a_driver_that_dies_is_followed_by_another_job(head: Head, make_user: UserMaker, tmp_path: Path) -> None:
    user, storage = make_user(head, nap=2.0), tmp_path / "shared" / "toy"
    follower = user.begin("submit", "toy.yaml", "--address", head.address)
    wait_for(lambda: ids_running(storage))
    os.kill(json.loads((storage / "driver.json").read_text())["pid"], signal.SIGKILL)
    out, err = follower.streams(120)
    assert follower.returncode == 0, err
    assert "died" in err
    assert "is dead; its sweep continues here" in out
    store = TrialStore(str(storage))
    assert [store.state(trial_id) for trial_id in store.ids()] == [TrialState.DONE] * 3


@pytest.mark.slow
def test_a_head_that_is_replaced_finishes_what_is_left(make_user: UserMaker, tmp_path: Path) -> None:
    lost = Head(short_folder())
    lost.start()
    user, storage = make_user(lost, nap=3.0), tmp_path / "shared" / "toy"
    try:
        follower = user.begin("submit", "toy.yaml", "--address", lost.address)
        wait_for(lambda: ids_running(storage))
        lost.kill()
        lost.start()
        out, err = follower.streams(200)
    finally:
        lost.kill()
        shutil.rmtree(lost.folder)
    assert follower.returncode == 0, err
    assert "cannot be reached" in err
    assert "reached again" in err
    assert "has forgotten it" in err
    assert "[3/3]" in out
    store = TrialStore(str(storage))
    assert [store.state(trial_id) for trial_id in store.ids()] == [TrialState.DONE] * 3


def test_strangers_are_refused_with_the_remedy(head: Head, make_user: UserMaker) -> None:
    user = make_user(head)
    for command in ("submit", "status", "stop"):
        asked = (command, "toy.yaml", "--address", head.address)
        assert "refused the token" in user.call(*asked, status=1, RAY_AUTH_TOKEN="wrong")[1]
    asked = ("submit", "toy.yaml", "--address", head.address)
    err = user.call(*asked, status=1, RAY_AUTH_TOKEN="", RAY_AUTH_MODE="disabled")[1]
    assert "requires a token: give the cluster's token in RAY_AUTH_TOKEN" in err
    nowhere = f"http://127.0.0.1:{free_port()}"
    for command in ("submit", "status", "stop"):
        assert "cannot be reached" in user.call(command, "toy.yaml", "--address", nowhere, status=1)[1]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", ["gcs_server", "dashboard"])
def test_commands_end_with_a_line_when_a_part_of_the_head_is_dead(
    make_user: UserMaker, tmp_path: Path, part: str
) -> None:
    head = Head(short_folder())
    head.start()
    user, storage = make_user(head, nap=1.0), tmp_path / "shared" / "toy"
    try:
        user.call("submit", "toy.yaml", "--address", head.address, "--detach")
        wait_for(lambda: ids_running(storage))
        kill_part(head, part)
        for command in ("status", "stop", "submit"):
            began = time.monotonic()
            process = user.begin(command, "toy.yaml", "--address", head.address)
            out, err = process.streams(120)
            assert time.monotonic() - began < 90, command
            assert process.returncode == 1, f"{command}: {process.returncode}\n{out}\n{err}"
            assert "Traceback" not in err
            assert head.address in err, f"{command}: {err}"
    finally:
        head.kill()
        shutil.rmtree(head.folder)


def kill_part(head: Head, part: str) -> None:
    """Kill one of the processes of a head, which itself looks after none of them."""
    found = []
    for pid in processes_of(str(head.folder / "ray")):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if any(word.decode().endswith((f"/{part}", f"/{part}.py")) for word in words[:3]):
            found.append(pid)
    assert found, f"no {part}"
    for pid in found:
        os.kill(pid, signal.SIGKILL)


def test_another_environment_is_refused_before_anything_runs(head: Head, make_user: UserMaker, tmp_path: Path) -> None:
    user = make_user(head)
    patched = (
        "import raysweep.sweep.cluster.environment as e, raysweep.jobs.request as r; "
        "r.environment = lambda: {**e.environment(), 'torch': '1.0'}; "
        "from raysweep.cli.app import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", patched, "submit", "toy.yaml", "--address", head.address],
        cwd=user.folder, env=head.environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 78, done.stderr
    assert "torch 2.13.0 instead of 1.0" in done.stdout
    assert "--environment pip" in done.stdout
    assert not (tmp_path / "shared").exists()


def test_places_of_this_machine_alone_are_refused(head: Head, make_user: UserMaker) -> None:
    user = make_user(head)
    asked = ("submit", "toy.yaml", "storage=runs/toy", "--address", head.address)
    err = user.call(*asked, status=1)[1]
    assert "storage" in err
    assert "would be in the scratch folder of the job" in err
