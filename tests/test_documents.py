"""The Python that README and docs show: every block runs, in a folder as a reader has it, and passes strict mypy.

A block that cannot be run here says so to its reader in its first line: `# Not run by the tests: reason`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.drivers import run, shared_ray

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.timeout(600)
FENCE = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
NOT_RUN = "# Not run by the tests: "
SHORTER = {
    "docs/data.md": {"structures=14_000": "structures=200", "10_000": "500", "subset(1_000)": "subset(100)"},
    "docs/training.md": {"structures=2000,": "structures=150, validation_structures=20,", "(5e3, 2e4)": "(300, 1000)"},
    "docs/sweep.md": {"grid.seeds=[0,1]": "grid.seeds=[0, 1]"},  # as README has it, so that nothing is trained twice
}
"""What a block does in less time here than for its reader."""
QUICKSTART = {
    "families": {
        "mpnn": {"architecture": "mpnn", "fixed": {"depth": 1}, "sizes": {"width": [4, 8, 16]}, "base": {"width": 4}}
    },
    "data": {"store": "runs/quickstart/data", "make": {"structures": 300}, "validation_structures": 20},
    "grid": {"structures": [50, 100, 200]},
    "learning_rate": {"structures": 50, "rates": {"mpnn": 0.01}},
}
"""What makes `search_spaces/quickstart.yaml` a matter of seconds."""


def blocks() -> dict[str, str]:
    """The blocks of all pages, by page and place on it."""
    pages = ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
    return {
        f"{page}-{place}": block
        for page in pages
        for place, block in enumerate(FENCE.findall((ROOT / page).read_text()), start=1)
    }


BLOCKS = blocks()


def test_the_pages_have_blocks():
    assert len(BLOCKS) >= 9
    assert sum(block.startswith(NOT_RUN) for block in BLOCKS.values()) <= 1


def test_the_files_that_the_architecture_names_exist():
    named = re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", (ROOT / "docs" / "architecture.md").read_text())
    assert len(named) > 25
    missing = [path for path in named if not any((ROOT / top / path).is_file() for top in ("raysweep", "."))]
    assert not missing


def test_the_rooms_that_the_architecture_names_are_all_rooms():
    table = re.findall(r"^\| (`[^|]*/`) \|", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE)
    rooms = {name for row in table for name in re.findall(r"`(\w+)/`", row)}
    assert rooms == {path.parent.name for path in (ROOT / "raysweep").glob("*/__init__.py")}


def shortened(name: str) -> str:
    code = BLOCKS[name]
    for long, short in SHORTER.get(name.rpartition("-")[0], {}).items():
        code = code.replace(long, short)
    return code


RUNNER = """
import contextlib, io, json, traceback


def main():
    said = {}
    for name, code in json.load(open("blocks.json")).items():
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                exec(compile(code, name, "exec"), {"__name__": "block"})
            said[name] = [True, printed.getvalue()]
        except BaseException:
            said[name] = [False, traceback.format_exc()]
    json.dump(said, open("said.json", "w"))


if __name__ == "__main__":  # not in a process that a block starts
    main()
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> dict[str, tuple[bool, str]]:
    """Whether each block ran and what it printed: all in one process, README's sweep first, in a reader's folder."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(ROOT / "search_spaces", folder / "search_spaces")
    path, yaml = folder / "search_spaces" / "quickstart.yaml", YAML(typ="safe")
    yaml.dump({**yaml.load(path), **QUICKSTART}, path)
    header, *runs = (ROOT / "examples" / "runs.csv").read_text().splitlines()
    numbers = [[float(text) for text in line.split(",")] for line in runs]
    rows = [f"{params:.0f},{tokens:.0f},{6 * params * tokens:.6g},{loss}" for params, tokens, loss in numbers]
    assert header == "n_params,tokens,val_loss"
    (folder / "points.csv").write_text("\n".join(["n_params,tokens,flops,loss", *rows]) + "\n")
    program = {name: shortened(name) for name, code in BLOCKS.items() if not code.startswith(NOT_RUN)}
    environment = {**os.environ, **shared_ray(), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    (folder / "blocks.json").write_text(json.dumps(program))
    (folder / "runner.py").write_text(RUNNER)
    done = run([str(folder / "runner.py")], folder=folder, environment=environment, seconds=580)
    assert (folder / "said.json").is_file(), done.stderr[-4000:]
    return json.loads((folder / "said.json").read_text())


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_runs(name, said):
    if BLOCKS[name].startswith(NOT_RUN):
        pytest.skip(BLOCKS[name].splitlines()[0].removeprefix(NOT_RUN))
    ran, text = said[name]
    assert ran, text


def test_readmes_block_runs_a_sweep_and_answers(said):
    answer = said["README.md-1"][1].splitlines()[-1]
    assert answer.startswith("mpnn ")
    assert len(answer) > 20


def test_what_is_shortened_is_there():
    for page, changes in SHORTER.items():
        text = (ROOT / page).read_text()
        assert all(long in text for long in changes), page


USER = '''
"""A program that uses the whole public face, as its types promise it."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

import raysweep
from raysweep import Point, RaysweepError, TrialSpec, load_space, open_store, plan, run, sync
from raysweep.frontier import Fit, checklist, compare, crossovers, fit, fit_families, held_out, read_csv, read_store


def sweep(path: Path) -> dict[str, float]:
    try:
        space = load_space(path, ["grid.seeds=[0]"])
        trials: int = len(plan(space).trials)
        result = run(space)
    except RaysweepError as error:
        raise SystemExit(str(error)) from error
    table: pa.Table = result.table()
    complete: bool = result.complete
    changed: int = sync(space).changed
    print(trials, table.num_rows, complete, changed, raysweep.__version__)
    families: Mapping[str, Fit] = fit_families(read_store(space.storage))
    return {family: found.params_exponent for family, found in families.items() if found.status.usable}


def frontier(path: Path) -> str:
    found: Fit = fit(read_csv(path))
    best = found.optimal(flops=1e21)
    interval = found.interval("a")
    low = interval.low if interval is not None else None
    print(best.params.value, low, found.loss(1e9, 1e10), compare(read_csv(path)), held_out(read_csv(path)))
    print(crossovers({"one": found, "other": found}))
    return checklist(found)


def point(spec: TrialSpec, location: str) -> Point:
    store = open_store(location)
    rows: int = len(store.read(store.subset(10)).energy)
    return Point(
        trial_id=spec.trial_id, architecture=spec.architecture, size="{}", seed=spec.seed, step=rows,
        learning_rate=spec.learning_rate, budget=1.0, budget_kind="data", params=1, data=1.0, flops=1.0, loss=1.0,
    )
'''


def test_a_users_program_and_every_block_pass_strict_mypy(tmp_path):
    """Types that a caller sees: one run of mypy, with the cache that `make lint` leaves."""
    (tmp_path / "user.py").write_text(USER.lstrip())
    for name, code in BLOCKS.items():
        (tmp_path / f"{re.sub(r'[^a-zA-Z0-9]', '_', name)}.py").write_text(code)
    files = sorted(str(path) for path in tmp_path.glob("*.py"))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", "pyproject.toml", *files],
        cwd=ROOT, env={**os.environ, "MYPYPATH": str(ROOT)}, capture_output=True, text=True, timeout=580, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
