"""The checks of muP: what passes with it fails without."""

import math
from pathlib import Path

import pytest

from raysweep.cli.app import main
from raysweep.core.errors import SpaceError
from raysweep.core.trial import OptimizerSpec, TrialSpec
from raysweep.data.generation.xtb import make_store
from raysweep.sweep.tuning.coordinate_check import coordinate_check, in_processes
from raysweep.sweep.tuning.transfer_check import TransferCheck, check_transfer


@pytest.fixture(scope="module")
def store(tmp_path_factory, kept_workers):
    return make_store(tmp_path_factory.mktemp("transfer") / "store", structures=300, seed=5, pool=kept_workers)


@pytest.fixture
def spec(store):
    return TrialSpec(
        architecture="mpnn", size={"width": 8, "depth": 1}, forces="conservative", learning_rate=0.02,
        fingerprint=store.manifest.fingerprint, structures=200, validation_structures=20, data_budgets=(1500.0,),
        batch_atoms=60,
    )  # fmt: skip


def worst(scales, module):
    last = {width: of[-1] for width, of in scales[module].items()}
    return max(last.values()) / min(last.values())


def test_activations_keep_their_scale_under_mup_and_grow_with_the_width_without(spec, store, monkeypatch):
    spec = spec.model_copy(update={"size": {"width": 16, "depth": 1}, "optimizer": OptimizerSpec(warmup_steps=0)})
    kept = coordinate_check(spec, store, widths=[128], steps=6, seeds=range(4), workers=1)
    assert set(kept["layers.0.out"]) == {16, 128}
    assert all(len(of) == 7 for scales in kept.values() for of in scales.values())
    monkeypatch.setattr("raysweep.training.trajectory.build_base", lambda spec, store: None)
    free = coordinate_check(spec, store, widths=[128], steps=6, seeds=range(4), workers=1)
    assert worst(kept, "layers.0.out") < 2 < worst(free, "layers.0.out")


@pytest.mark.slow  # fourteen trainings; the command's test has six
def test_every_width_is_trained_at_every_rate_and_seed(spec, store):
    seen = []
    check = check_transfer(
        spec, store, rates=[1e-3, 1e-2, 1e10], widths=[16], coordinate_widths=[16], seeds=[0, 1], coordinate_seeds=[0],
        workers=2,
        progress=lambda done, wanted: seen.append((done, wanted)),
    )  # fmt: skip
    assert seen[-1] == (14, 14)
    assert [done for done, _ in seen] == list(range(1, 15))
    assert set(check.scales["layers.0.out"]) == {8, 16}
    assert set(check.losses) == {8, 16}
    for rows in check.losses.values():
        assert [rate for rate, _ in rows] == [1e-3, 1e-2, 1e10]
        assert all(len(losses) == 2 for _, losses in rows)
    assert check.best == {8: 1e-2, 16: 1e-2}
    assert check.shift == 1.0


def test_a_width_that_never_trains_has_no_best_rate():
    rows = {8: [(0.1, [1.0]), (0.2, [0.5])], 16: [(0.1, [math.inf]), (0.2, [math.inf])]}
    check = TransferCheck(architecture="mpnn", base_width=8, losses=rows, best={8: 0.2, 16: None}, scales={})
    assert check.shift is None


def fail(job, location):
    Path(location, str(job.seed)).touch()
    raise SpaceError("on purpose")


def test_a_training_that_fails_is_told_before_the_others_are_done(spec, tmp_path):
    jobs = [spec.model_copy(update={"seed": seed}) for seed in range(200)]
    with pytest.raises(SpaceError, match="on purpose"):
        in_processes(fail, jobs, str(tmp_path), 2, lambda done: None)
    assert 0 < len(list(tmp_path.iterdir())) < len(jobs)


def test_too_few_rates_are_refused(spec, store):
    with pytest.raises(SpaceError, match="at least 3"):
        check_transfer(spec, store, rates=[0.1, 0.2], widths=[16], coordinate_widths=[16])


def test_the_command_writes_a_figure_and_tells_by_its_exit_status(store, tmp_path, monkeypatch, capsys):
    arguments = (
        f"check-transfer mpnn {store.location} depth=1 --widths 8,16 --coordinate-widths 8,16 --structures 40 "
        f"--rates 0.001,0.01,0.1 --coordinate-seeds 4 --out {tmp_path}"
    )
    monkeypatch.setattr("sys.argv", ["raysweep", *arguments.split()])
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})  # one core: no process has to import torch for this
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr().out
    assert ended.value.code in (0, 1)
    assert (tmp_path / "transfer-mpnn.png").read_bytes().startswith(b"\x89PNG")
    assert "best learning rate, base to any other width: a factor" in printed
    within = float(printed.split("other width: a factor ")[1].split()[0]) <= 2
    drift = float(printed.split("over widths: at most a factor ")[1].split(",")[0])
    assert (ended.value.code == 0) == (within and drift < 2)
