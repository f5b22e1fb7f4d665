"""A storage is one sweep's: more of the same sweep is welcome in it, another one is refused before it writes."""

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from finished_sweep import files, finished, make_store, write_space
from rich.console import Console

from raysweep.cli import points, spaces, tracking
from raysweep.cli.status import show_status
from raysweep.core.errors import SpaceError
from raysweep.data.store.store import open_store
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.preview import plan
from raysweep.sweep.run import run
from raysweep.sweep.space.space import load_space

COMMANDS: dict[str, Callable[[str], object]] = {
    "run": lambda path: run(load_space(path), console=Console(file=io.StringIO())),
    "plan": lambda path: plan(load_space(path)),
    "status": lambda path: show_status(path, [], as_json=False),
    "report": lambda path: points.write_report(path, [], None),
    "frontier": lambda path: points.read_material(path, points.Columns(), None),
    "sync": lambda path: tracking.sync_sweep(path, [], None),
    "ui": lambda path: tracking.serve_ui(path, [], None, 1),
}
GUARD = ".driver.json.guard"


def refused(name: str, path: Path) -> str:
    with pytest.raises(SpaceError) as error:
        COMMANDS[name](str(path))
    return str(error.value)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("spelling", ["relative", "absolute", "dotted", "link"])
def test_a_storage_of_another_name_is_refused(tmp_path: Path, command: str, spelling: str) -> None:
    finished(tmp_path / "first.yaml", "sweep")
    (tmp_path / "link").symlink_to(tmp_path / "sweep")
    place = {"relative": "sweep", "absolute": tmp_path / "sweep", "dotted": "./x/../sweep", "link": "link"}[spelling]
    second = write_space(tmp_path / "second.yaml", place, name="other")
    before = files(tmp_path / "sweep")
    message = refused(command, second)
    assert message == (
        f"second.yaml:{second.read_text().splitlines().index(f'storage: {place}') + 1}: storage: {tmp_path}/sweep "
        "holds the sweep 'toy', and this one is 'other': give it a storage of its own, or set name: toy where it is "
        "the same sweep"
    )
    assert {name: data for name, data in files(tmp_path / "sweep").items() if name != GUARD} == before


@pytest.mark.parametrize("command", COMMANDS)
def test_one_name_on_other_structures_is_refused(tmp_path: Path, command: str) -> None:
    one, other = (make_store(tmp_path / f"store-{seed}", seed) for seed in (1, 2))
    finished(tmp_path / "first.yaml", "sweep", data={"store": str(one), "validation_structures": 10})
    second = write_space(tmp_path / "second.yaml", "sweep", data={"store": str(other), "validation_structures": 10})
    before = files(tmp_path / "sweep")
    message = refused(command, second)
    fingerprints = [open_store(store).manifest.fingerprint[:12] for store in (one, other)]
    assert f"data.store: {tmp_path}/sweep holds a sweep 'toy' on structures {fingerprints[0]}" in message
    assert f"{other} has structures {fingerprints[1]}" in message
    assert "give this one a storage of its own" in message
    assert {name: data for name, data in files(tmp_path / "sweep").items() if name != GUARD} == before


def test_structures_made_anew_under_the_same_name_are_other_structures(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", 1)
    path = finished(tmp_path / "toy.yaml", "sweep", data={"store": str(store), "validation_structures": 10})
    shutil.rmtree(store)
    make_store(tmp_path / "store", 2)
    assert "give this one a storage of its own" in refused("run", path)


@pytest.mark.parametrize("command", ["run", "status", "frontier"])
def test_another_training_is_refused(tmp_path: Path, command: str) -> None:
    finished(tmp_path / "first.yaml", "sweep")
    second = write_space(tmp_path / "second.yaml", "sweep", entrypoint="toy_trials:costless")
    assert "holds a sweep 'toy' of toy_trials:train, and this one is of toy_trials:costless" in refused(command, second)


@pytest.mark.usefixtures("one_ray")
def test_more_of_the_same_sweep_is_welcome(tmp_path: Path) -> None:
    path = finished(tmp_path / "toy.yaml", "sweep")
    for more, ran in (
        ("grid.seeds=[0,1]", 2),
        ("grid.seeds=[1,0]", 0),
        ("families.a.sizes={width: [8,16,32]}", 1),
        ("grid.structures=[100,200,400]", 2),
    ):
        assert run(load_space(str(path), [more]), console=Console(file=io.StringIO())).ran == ran, more
    assert len(TrialStore("sweep").ids()) == 7
    moved = path.rename(tmp_path / "other.yaml")  # the file's name is nothing to the sweep
    assert run(load_space(str(moved)), console=Console(file=io.StringIO())).ran == 0


@pytest.mark.parametrize("command", ["report", "frontier", "sync"])
def test_what_tells_of_the_last_run_says_where_that_was_of_other_settings(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(tmp_path / "toy.yaml", "sweep")
    tracking.sync_sweep("toy.yaml", [], None)
    capsys.readouterr()
    families = {label: {"architecture": "toy-a", "sizes": [{"width": 8}]} for label in ("a", "b")}
    rates = {"rates": {"a": 0.02, "b": 0.02}}
    changed = write_space(
        tmp_path / "changed.yaml", "sweep", training={"batch_atoms": 64}, forces="conservative",
        families=families, learning_rate=rates,
    )  # fmt: skip
    COMMANDS[command](str(changed))
    told = capsys.readouterr().err.splitlines()
    assert told[:3] == [
        f"{changed}: {sentence}; what follows describes the last run"
        for sentence in (
            "forces: the last run had direct, the search space has conservative",
            "training: the last run had batch_atoms 128, the search space has batch_atoms 64",
            "families.b: it was not in the last run",
        )
    ]
    COMMANDS[command]("toy.yaml")
    assert capsys.readouterr().err == ""


def test_a_sweep_goes_on_where_nothing_says_whose_the_storage_is(tmp_path: Path) -> None:
    path = finished(tmp_path / "toy.yaml", "sweep")
    for content in (b"", b"{", b"[]", b'{"name": "toy"}'):
        (tmp_path / "sweep" / "sweep.json").write_bytes(content)
        assert run(load_space(str(path)), console=Console(file=io.StringIO())).ran == 0
    os.remove(tmp_path / "sweep" / "sweep.json")
    assert spaces.read_run_space(str(path)).name == "toy"
