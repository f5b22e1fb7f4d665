"""`raysweep run` on a terminal: it ends well, prints the frontier, and leaves the streams of a script as they were."""

import json
import re
from pathlib import Path

import pytest
from commands import RAYSWEEP, environment, toy_folder
from on_a_terminal import COLOUR, OnTerminal

from tests.drivers import Driver, run, shared_ray

SCRIPT = """
import io, sys, threading
import raysweep
streams = sys.stdout, sys.stderr

def run(*changes):
    result = raysweep.run(raysweep.load_space("toy.yaml", ["tracking.enabled=false", *changes]))
    print("ran", result.ran, "complete", result.complete)

run()
print("streams kept", (sys.stdout, sys.stderr) == streams)
sys.stdout = notebook = io.StringIO()
other = threading.Thread(target=run, args=("storage=another", "families.alpha.sizes=[{width: 8, how: raise}]"))
other.start()
other.join()
print("replaced stream kept", sys.stdout is notebook)
sys.stdout = streams[0]
print(notebook.getvalue())
"""
SIZES = f"families.alpha.sizes={[{'width': 8 + i, 'nap': i / 3} for i in range(6)]}"
"""Six trials, the later ones longer, each in three steps."""
REAL_SPACE = """
name: small
storage: sweep
data: {store: data, make: {structures: 300}, validation_structures: 30}
families: {mpnn: {architecture: mpnn, fixed: {depth: 1}, sizes: {width: [8]}}}
grid: {structures: [40, 80, 160]}
learning_rate: {rates: {mpnn: 0.02}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return toy_folder(tmp_path)


def test_run_prints_the_frontier_and_ends_well_then_again(folder: Path) -> None:
    how = {"columns": 120, "folder": folder, "environment": environment(), "start": Driver}  # the gate starts it anew
    for ran in (True, False):
        with OnTerminal([RAYSWEEP, "run", "toy.yaml"], **how) as running:
            assert running.end() == 0, running.text
        assert ("[3/3] done" in running.text) == ran, "done once is never run again"
        assert ("\x1b[32mdone" in running.raw) == ran
        assert "Traceback" not in running.text
        assert "Configuration for experiment" not in running.text, "what Ray says belongs into the log"
        assert re.search(r"^report: .*/sweep/report/report.html", running.text, re.MULTILINE)
        assert re.search(r"^alpha +9", running.text, re.MULTILINE), "the frontier's table names the family"


def test_a_script_prints_after_each_run_in_any_thread_and_with_any_standard_output(folder: Path) -> None:
    (folder / "script.py").write_text(SCRIPT)
    how = {"folder": folder, "environment": environment(**shared_ray()), "start": Driver}
    with OnTerminal(["script.py"], **how) as running:
        assert running.end() == 0, running.text
    assert "ran 3 complete True\nstreams kept True\n" in running.text
    assert "ran 1 complete False\nreplaced stream kept True\n" in running.text
    assert "[1/1] failed" in running.text, "what was printed meanwhile went to the stream of that time"


def test_a_terminal_without_control_codes_gets_none_while_something_is_made_and_trained(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(REAL_SPACE)
    variables = environment(TERM="dumb", FORCE_COLOR="1", **shared_ray())
    how = {"columns": 80, "folder": tmp_path, "environment": variables, "start": Driver}
    with OnTerminal([RAYSWEEP, "run", "small.yaml"], **how) as running:
        assert running.end() == 0, running.text
    assert "\x1b" not in running.raw
    assert re.search(r"^300/300 structures, ", running.text, re.MULTILINE)
    assert re.search(r"^\[1/1\] done +mpnn depth=1 width=8 seed=0 +loss [\d.]+ ", running.text, re.MULTILINE)
    assert max(map(len, (line for line in running.text.split("\n") if " " in line and "/" not in line))) <= 80
    assert re.search(r"^family +points", running.text, re.MULTILINE)


def test_colours_are_not_for_everyone_windows_change_and_ctrl_c_ends_a_sweep(folder: Path) -> None:
    how = {"columns": 80, "folder": folder, "environment": environment(NO_COLOR="1"), "start": Driver}
    with OnTerminal([RAYSWEEP, "run", "toy.yaml", SIZES], **how) as running:
        running.wait_for(r"\[1/6\] done ")
        running.resize(40)
        running.wait_for(r"\[4/6\] done ")
        running.press("\x03")
        assert running.end() == 130, running.text
    assert "\x1b[?25h" in running.raw[running.raw.rindex("\x1b[?25l") :], "the cursor is back"
    assert not COLOUR.search(running.raw)
    wrapped = re.search(r"^\[4/6\] done +alpha .*\n( {14,}\S.*\n)+", running.text, re.MULTILINE)
    assert wrapped, "a line that is too long goes on below its text"
    assert max(map(len, wrapped[0].split("\n"))) <= 40
    assert "ended by SIGINT; run the same command again" in running.text
    assert "Traceback" not in running.text


def test_closing_the_terminal_ends_a_sweep_so_that_it_resumes(folder: Path) -> None:
    how = {"columns": 80, "folder": folder, "environment": environment(), "start": Driver}
    with OnTerminal([RAYSWEEP, "run", "toy.yaml", SIZES], **how) as running:
        running.wait_for(r"\[1/6\] done ")
        running.close()
        assert running.end() == 129
    assert not (folder / "sweep" / "driver.json").exists()
    states = [json.loads(path.read_text())["state"] for path in (folder / "sweep" / "trials").glob("*/state.json")]
    assert "done" in states
    assert "running" not in states
    again = run([RAYSWEEP, "run", "toy.yaml", SIZES], folder=folder, environment=environment(**shared_ray()))
    assert again.returncode == 0, again.stderr
    assert "[6/6] done" in again.stdout
    assert "\x1b" not in again.stdout + again.stderr
