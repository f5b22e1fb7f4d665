"""`raysweep choose` on a terminal: rounds and verdict fit the window; as JSON nothing else is on standard output."""

import json
import re
from pathlib import Path

import pytest
from commands import RAYSWEEP, environment, toy_folder
from on_a_terminal import OnTerminal

from tests.drivers import Driver, run

FAMILIES = """
families:
  alpha: {architecture: toy-a, sizes: {width: [1, 2, 4, 8, 16]}}
  beta: {architecture: toy-b, fixed: {factor: 3.0}, sizes: {width: [1, 2, 4, 8, 16]}}
grid: {structures: [400, 1600, 6400, 25600, 102400]}
learning_rate: {rates: {alpha: 0.02, beta: 0.02}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = toy_folder(tmp_path) / "toy.yaml"
    head = path.read_text().partition("families:")[0]
    path.write_text(head + FAMILIES)
    return tmp_path


def test_the_verdict_is_printed_after_the_rounds_and_as_json_alone(folder: Path) -> None:
    how = {"columns": 80, "folder": folder, "environment": environment(), "start": Driver}
    with OnTerminal([RAYSWEEP, "choose", "toy.yaml", "--at", "3e8"], **how) as running:
        assert running.end() == 0, running.text
    assert re.search(r"^race at 3e\+08 FLOP: 10 trajectories first, ", running.text, re.MULTILINE)
    assert re.search(r"^\[10/10\] done ", running.text, re.MULTILINE)
    assert re.search(r"^alpha is best at 3e\+08 FLOPs\.", running.text, re.MULTILINE)
    assert re.search(r"^beta: out since look 1 by alpha", running.text, re.MULTILINE)
    assert re.search(r"^1 round, [\d.e+]+ FLOP, \d+s; it ended: decided\.", running.text, re.MULTILINE)
    assert "Traceback" not in running.text
    assert max(map(len, (line for line in running.text.split("\n") if " " in line and "/" not in line))) <= 80
    again = run([RAYSWEEP, "choose", "toy.yaml", "--at", "3e8", "--json"], folder=folder, environment=environment())
    assert again.returncode == 0, again.stderr
    said = json.loads(again.stdout)
    assert (said["verdict"]["kind"], said["verdict"]["families"], said["looks"]) == ("best", ["alpha"], 1)


def test_an_argument_without_a_meaning_is_one_line_and_exit_status_1(folder: Path) -> None:
    done = run(
        [RAYSWEEP, "choose", "toy.yaml", "--at", "3e8", "--budget", "soon"], folder=folder, environment=environment()
    )
    assert done.returncode == 1
    assert (
        "override 'race.budget=soon': race.budget: 'soon' is no budget; give wall-clock time (45s, 10m" in done.stderr
    )
    assert done.stderr.count("\n") == 1
    assert not (folder / "sweep" / "trials").exists()
