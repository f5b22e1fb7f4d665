"""`raysweep run` on a terminal: it ends well, prints the frontier, and leaves the streams of a script as they were."""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from on_a_terminal import OnTerminal

RAYSWEEP = str(Path(sys.executable).parent / "raysweep")
TOYS = Path(__file__).parents[1] / "sweep" / "toy_trials.py"
SPACE = """
name: toy
storage: sweep
entrypoint: toy_trials:train
families:
  alpha:
    architecture: toy-a
    sizes: {width: [8, 16, 32]}
grid:
  structures: [100, 200, 400]
learning_rate: {rates: {alpha: 0.02}}
"""
SCRIPT = """
import sys
import raysweep
streams = sys.stdout, sys.stderr
for turn in range(2):
    result = raysweep.run(raysweep.load_space("toy.yaml", [f"storage=sweep-{turn}"]))
    print("ran", result.ran, "complete", result.complete, "streams kept", (sys.stdout, sys.stderr) == streams)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(TOYS, tmp_path)
    (tmp_path / "toy.yaml").write_text(SPACE)
    return tmp_path


def test_run_prints_the_frontier_and_ends_well_then_again(folder: Path) -> None:
    for ran in (True, False):
        with OnTerminal([RAYSWEEP, "run", "toy.yaml"], columns=120, folder=folder) as running:
            assert running.end() == 0, running.text
        assert ("[3/3] done" in running.text) == ran, "done once is never run again"
        assert "Traceback" not in running.text
        assert "Configuration for experiment" not in running.text, "what Ray says belongs into the log"
        assert re.search(r"^report: .*/sweep/report/report.html", running.text, re.MULTILINE)
        assert re.search(r"^alpha +9", running.text, re.MULTILINE), "the frontier's table names the family"


def test_a_script_prints_after_each_of_two_runs(folder: Path) -> None:
    (folder / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with OnTerminal([sys.executable, "script.py"], folder=folder, environment=environment) as running:
        assert running.end() == 0, running.text
    assert running.text.count("ran 3 complete True streams kept True") == 2, running.text
