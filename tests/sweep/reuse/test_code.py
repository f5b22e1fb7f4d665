"""The code of a training is part of what determines a trial: where it has changed, a sweep asks before it goes on."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from toy_sweep import SpaceMaker

from raysweep.core.errors import SpaceError, TrialError
from raysweep.core.trial import NO_DATA, TrialSpec, TrialState
from raysweep.models import plug_ins
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.engine.trainable import points_of
from raysweep.sweep.guests.code import code_digest, code_files, code_named
from raysweep.sweep.preview import plan
from raysweep.sweep.reuse.changed_code import codes
from raysweep.sweep.reuse.trials import ReusedTrials
from raysweep.sweep.run import run
from raysweep.sweep.space.space import Space

TRAIN = '''
"""A training."""
import helper_of_CODE
import toy_trials

def train(spec, store, *, checkpoints, device):
    """Train."""
    for point in toy_trials.train(spec, store, checkpoints=checkpoints, device=device):
        yield helper_of_CODE.better(point)  # by a factor
'''
HELPER = """
import dataclasses

def better(point):
    return dataclasses.replace(point, loss=FACTOR * point.loss)
"""
Edit = Callable[[str, str], None]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A training of two files in a folder, of a name of its own: a process imports a name once."""
    name = f"code_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(TRAIN.replace("CODE", name))
    (tmp_path / f"helper_of_{name}.py").write_text(HELPER.replace("FACTOR", "0.9"))
    monkeypatch.syspath_prepend(tmp_path)
    return name


def changed(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_files_are_those_of_the_user_that_the_module_imports(module: str, tmp_path: Path) -> None:
    assert sorted(code_files(module)) == sorted([module, f"helper_of_{module}"])
    (tmp_path / "not_imported.py").write_text("raise ValueError")
    assert sorted(code_files(module)) == sorted([module, f"helper_of_{module}"])


PACKAGE = {
    "own_net/__init__.py": "from own_net.layers import norm\n",
    "own_net/train.py": "from . import model\ndef train():\n    from own_net.deep import late\n    import own_data\n",
    "own_net/model.py": "import importlib\nimportlib.import_module('own_net.named')\n",
    "own_net/layers/__init__.py": "",
    "own_net/layers/norm.py": "from ..shared import eps as e\n",
    "own_net/shared/eps.py": "E = 1\n",
    "own_net/deep/late.py": "import json, numpy, raysweep.core.trial\n",
    "own_net/named.py": "def broken(:\n",
    "own_net/unused.py": "X = 1\n",
    "own_data.py": "import own_net.train\n",
    "own_unused.py": "X = 1\n",
}


def test_imports_are_followed_as_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in PACKAGE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    found = {str(path.relative_to(tmp_path)) for path in code_files("own_net.train").values()}
    assert found == set(PACKAGE) - {"own_net/unused.py", "own_unused.py"}
    before = code_digest("own_net.train")
    for name in PACKAGE:
        (tmp_path / name).write_text(PACKAGE[name] + "\nY = 2\n")
        assert (code_digest("own_net.train") == before) is ("unused" in name), name
        (tmp_path / name).write_text(PACKAGE[name])
        assert code_digest("own_net.train") == before


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("# by a factor", "# by any factor", True),
        ('"""A training."""', '"""Another\ntraining."""', True),
        ('    """Train."""\n', "", True),
        ("(point)", "( point )", True),
        ("import toy_trials\n", "import toy_trials\n\n\n", True),
        ("spec, store, *", "spec, store, /, *", False),
        ("import toy_trials", "import toy_trials, math", False),
        ("better(point)", "better(-point)", False),
    ],
)
def test_what_alters_no_result_alters_no_digest(module: str, tmp_path: Path, old: str, new: str, same: bool) -> None:
    before = code_digest(module)
    changed(tmp_path / f"{module}.py", old, new)
    assert (code_digest(module) == before) is same


def test_place_on_disk_makes_no_difference(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_digest(module)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for path in tmp_path.glob("*.py"):
        path.rename(elsewhere / path.name)
    monkeypatch.syspath_prepend(elsewhere)
    assert code_files(module)[module].parent == elsewhere
    assert code_digest(module) == before


@pytest.fixture
def sweep(module: str, make_space: SpaceMaker, one_ray: None) -> Callable[..., Space]:
    families = {"a": {"architecture": "toy", "sizes": {"width": [8]}}}
    search = {"low": 2e-3, "high": 2e-1, "structures": 90, "trials": 3, "widenings": 0}
    plain = {"families": families, "learning_rate": search, "grid": {"structures": [100]}}
    return lambda **more: make_space(entrypoint=f"{module}:train", **{**plain, **more})


def losses(space: Space) -> dict[str, float]:
    table = TrialStore(space.storage).table()
    return dict(zip(table["trial_id"].to_pylist(), table["loss"].to_pylist(), strict=True))


def test_changed_code_is_asked_about_and_kept_or_run_anew(
    sweep: Callable[..., Space], module: str, tmp_path: Path, console: Console
) -> None:
    first = run(sweep(), console=console)
    assert first.complete
    ended, before = len(first.states), losses(sweep())
    assert ended == 4  # three of the search, one of the grid
    store = TrialStore(sweep().storage)
    now = f"{module}:train@{code_digest(module)}"
    assert {store.record(trial_id).code for trial_id in store.ids()} == {now}
    changed(tmp_path / f"{module}.py", "# by a factor", "# by 0.9")
    assert run(sweep(), console=console).ran == 0

    changed(tmp_path / f"helper_of_{module}.py", "0.9", "0.5")
    then = code_digest(module)
    files = {path: path.read_bytes() for path in Path(sweep().storage).rglob("*.json")}
    asked = rf"toy\.yaml.*changed_code: 4 trials in .* made by other code.*{module}:train was \w{{12}}, is {then} "
    for space in (sweep(), sweep(grid={"structures": [100], "seeds": [0, 1]})):
        with pytest.raises(SpaceError, match=asked + rf"\(.*helper_of_{module}\.py.*changed_code=keep.*=redo"):
            run(space, console=console)
    assert {path: path.read_bytes() for path in files if path.name != ".driver.json"} == {
        path: data for path, data in files.items() if path.name != ".driver.json"
    }
    assert "4 trials were made by other code than there is now" in plan(sweep()).table()

    more = run(sweep(grid={"structures": [100], "seeds": [0, 1]}, changed_code="keep"), console=console)
    assert (more.complete, more.ran) == (True, 1)
    kept = losses(sweep())
    assert {i: loss for i, loss in kept.items() if i in before} == before
    assert run(sweep(grid={"structures": [100], "seeds": [0, 1]}), console=console).ran == 0  # said once

    changed(tmp_path / f"helper_of_{module}.py", "0.5", "0.45")
    anew = run(sweep(grid={"structures": [100], "seeds": [0, 1]}, changed_code="redo"), console=console)
    assert (anew.complete, anew.ran) == (True, 5)
    redone = losses(sweep())
    assert {i: loss / redone[i] for i, loss in before.items()} == pytest.approx(dict.fromkeys(before, 2.0))
    assert set(redone) == set(kept)
    assert {store.record(i).code for i in store.ids()} == {f"{module}:train@{code_digest(module)}"}
    assert run(sweep(grid={"structures": [100], "seeds": [0, 1]}), console=console).ran == 0


def test_a_training_that_failed_at_once_is_mended_without_a_question(
    sweep: Callable[..., Space], module: str, tmp_path: Path, console: Console
) -> None:
    rates = {"rates": {"a": 0.02}}
    changed(tmp_path / f"helper_of_{module}.py", "0.9", "'a'")
    space = sweep(learning_rate=rates)
    assert run(space, console=console).count(TrialState.FAILED) == 1
    changed(tmp_path / f"helper_of_{module}.py", "'a'", "0.9")
    assert run(space, console=console).complete


def test_earlier_trials_of_other_code_are_not_taken(
    sweep: Callable[..., Space], module: str, tmp_path: Path, console: Console
) -> None:
    rates = {"rates": {"a": 0.02}}
    old = sweep(learning_rate=rates)
    spec = run(old, console=console).plan.trials[0].spec
    assert spec is not None
    new = str(tmp_path / "new")
    assert ReusedTrials(sweep(learning_rate=rates, storage=new, earlier=[old.storage])).state(spec) == TrialState.DONE
    changed(tmp_path / f"{module}.py", "better(point)", "better( better(point) )")
    found = ReusedTrials(sweep(learning_rate=rates, storage=new, earlier=[old.storage]))
    assert found.state(spec) == TrialState.PLANNED
    assert "1 trials of `earlier` were made by other code" in str(found.note())
    space = sweep(learning_rate=rates, storage=new, earlier=[old.storage], changed_code="keep")
    keeping = ReusedTrials(space)
    assert keeping.copy(spec, TrialStore(new))
    assert TrialStore(new).record(spec.trial_id).code == codes(
        space.entrypoint, space.architectures, TrialStore(new)
    ).now(spec)


def test_worker_with_other_code_than_the_driver_refuses(module: str) -> None:
    spec = TrialSpec(
        architecture="toy", size={"width": 8}, fingerprint=NO_DATA, structures=1, learning_rate=0.02,
        entrypoint=f"{module}:train",
    )  # fmt: skip
    with pytest.raises(
        TrialError, match=rf"code of {module}:train on .* is {module}:train@\w+, and the sweep began with"
    ):
        points_of(spec, None, "", "cpu", f"{module}:train@000000000000")


def test_code_of_a_plug_in_is_its_package_with_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "site-packages"
    metadata = place / "plug-0.1.dist-info"
    metadata.mkdir(parents=True)
    (place / "plug_net").mkdir()
    (place / "plug_net" / "__init__.py").write_text("from plug_net.layers import ARCHITECTURE\nimport beside\n")
    (place / "plug_net" / "layers.py").write_text("ARCHITECTURE = 1\n")
    (place / "beside.py").write_text("another = 'package'\n")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 0.1\n")
    (metadata / "entry_points.txt").write_text(f"[{plug_ins.GROUP}]\nplugnet = plug_net:ARCHITECTURE\n")
    monkeypatch.syspath_prepend(place)
    plug_ins.plug_ins.cache_clear()
    try:
        assert code_named(None, "egnn") is None
        assert sorted(code_files("plug_net")) == ["plug_net", "plug_net.layers"]
        before = code_named(None, "plugnet")
        assert before == f"plugnet@plug 0.1 {code_digest('plug_net')}"
        (place / "plug_net" / "layers.py").write_text("ARCHITECTURE = 2\n")
        assert code_named(None, "plugnet") != before
    finally:
        plug_ins.plug_ins.cache_clear()
    assert "plug_net" not in sys.modules, "found without being imported"


def test_costs_are_measured_anew_for_other_code(sweep: Callable[..., Space], module: str, tmp_path: Path) -> None:
    costs = "\ntrain.cost = lambda spec, store: toy_trials.Cost(100 * COUNT, 600.0, 1e-6)\n"
    path = tmp_path / f"{module}.py"
    path.write_text(path.read_text() + costs.replace("COUNT", "1"))
    space = sweep(learning_rate={"rates": {"a": 0.02}})
    assert [trial.params for trial in plan(space).trials] == [100]
    path.write_text(path.read_text().replace("100 * 1", "100 * 22"))
    del sys.modules[module]
    assert [trial.params for trial in plan(space).trials] == [2200]
    content = json.loads(Path(space.storage, "costs.json").read_text())
    assert sorted(cost["params"] for cost in content.values()) == [100, 2200]
    Path(space.storage, "costs.json").write_text(json.dumps({key: {"params": -1} for key in content}))
    assert [trial.params for trial in plan(space).trials] == [2200]  # a bad record is dropped
