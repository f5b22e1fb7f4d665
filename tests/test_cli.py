"""The command line as a user has it: in a process of its own, and its words, streams and exit statuses."""

import json
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from raysweep.cli.app import main
from raysweep.cli.sweeps import ui_command
from raysweep.storage.lease import driver_lease
from raysweep.storage.trial_store import TrialStore
from tests.drivers import RAYSWEEP, run, shared_ray

TOYS = str(Path(__file__).parent / "sweep")
SPACE = """
name: toy
storage: {folder}/sweep
entrypoint: toy_trials:train
families:
  alpha:
    architecture: toy-a
    sizes: {{width: [8, 16, 32]}}
grid:
  structures: [100, 200, 400]
learning_rate: {{rates: {{alpha: 0.02}}}}
"""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def raysweep(*arguments: str, folder: Path, ok: bool = True) -> Done:
    """Run a command in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **shared_ray()}
    done = run([RAYSWEEP, *arguments], folder=folder, environment=environment)
    if ok:
        assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


Call = Callable[..., Done]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command in this process, which has imported everything already; an exception is a failure."""

    def run(*arguments: str, folder: Path, ok: bool = True) -> Done:
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(TOYS)
        monkeypatch.setattr(sys, "argv", ["raysweep", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        code = end.value.code or 0
        assert isinstance(code, int)
        assert not ok or code == 0, err
        return Done(code, out, err)

    return run


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a search space and the module that it names, that was run there, and what the run printed."""
    folder = tmp_path_factory.mktemp("cli")
    shutil.copy(Path(TOYS) / "toy_trials.py", folder)
    (folder / "toy.yaml").write_text(SPACE.format(folder=folder))
    return folder, raysweep("run", "toy.yaml", folder=folder).stdout


def answers_in(printed: str) -> str:
    """Return the headline and tables of what a command printed, without progress and places."""
    start = min(printed.index(word) for word in ("With ", "There is no point") if word in printed)
    return printed[start:].split("\n\nreport: ")[0].strip()


def chinchilla(folder: Path) -> Path:
    """Write points of a known law under other people's column names: a = .5, b = .5, gamma = .2."""
    rng = np.random.default_rng(0)
    lines = ["n_params,tokens,compute,val_loss"]
    for n in np.geomspace(1e7, 1e9, 8):
        for d in np.geomspace(1e8, 1e10, 6):
            loss = (1.5 + 300 * n**-0.4 + 300 * d**-0.4) * np.exp(0.001 * rng.standard_normal())
            lines.append(f"{n!r},{d!r},{6 * n * d!r},{loss!r}")
    path = folder / "points.csv"
    path.write_text("\n".join(lines).replace("np.float64(", "").replace(")", ""))
    return path


COLUMNS = ["--params", "n_params", "--data", "tokens", "--flops", "compute", "--loss", "val_loss"]


def test_frontier_fits_anyones_csv(call: Call, tmp_path: Path):
    path = chinchilla(tmp_path)
    asked = ["frontier", str(path), *COLUMNS, "--optimal", "1e18", "--optimal", "1e20", "--json"]
    content = json.loads(call(*asked, folder=tmp_path).stdout)
    (family,) = content["families"]
    assert family["points"] == 48
    assert family["status"] == "ok"
    for name, truth in (("params_exponent", 0.5), ("data_exponent", 0.5), ("loss_exponent", 0.2), ("asymptote", 1.5)):
        found = family[name]
        assert found["value"] == pytest.approx(truth, rel=0.05), name
        assert found["low"] < found["value"] < found["high"] < 1.1 * found["value"], name
    small, large = family["optima"]
    assert (small["flops"], large["flops"]) == (1e18, 1e20)
    for optimum in (small, large):  # N* = D* = sqrt(C / 6) by symmetry
        assert optimum["params"]["value"] == pytest.approx(np.sqrt(optimum["flops"] / 6), rel=0.1)
        assert optimum["params"]["value"] * optimum["data"]["value"] * 6 == pytest.approx(optimum["flops"], rel=1e-6)
    assert (small["extrapolated"], large["extrapolated"]) == (False, True)


def test_frontier_prints_a_table_and_writes_the_figures_when_asked(call: Call, tmp_path: Path):
    path = chinchilla(tmp_path)
    done = call("frontier", str(path), *COLUMNS, "--out", "figures", "--method", "parametric", folder=tmp_path)
    assert re.search(r"^all points +48 +0\.\d+ \[0\.\d+, 0\.\d+\]", done.stdout, re.MULTILINE)
    assert {"report.html", "loss_against_compute.png", "optimal_model.png"} <= {
        found.name for found in (tmp_path / "figures").iterdir()
    }


def test_frontier_says_plainly_that_points_are_too_few(call: Call, tmp_path: Path):
    path = tmp_path / "few.csv"
    path.write_text("params,data,flops,loss\n1e6,1e7,6e13,3.0\n2e6,1e7,12e13,2.8\n")
    done = call("frontier", str(path), folder=tmp_path)
    assert "too_few_points" in done.stdout
    assert "2 points are left" in done.stdout
    assert not re.search(r"\d \[\d", done.stdout)  # no number with an interval is printed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frontier", "absent.csv"], "absent.csv: there is no such file"),
        (["frontier", "nothing-here"], "--tracking-uri"),
        (["frontier", "points.csv"], "no column"),
        (["frontier", "points.csv", *COLUMNS, "--optimal", "-1"], "--optimal -1"),
        (["frontier", "x", "--tracking-uri", "sqlite:///absent.db"], "absent.db does not exist"),
        (["plan", "absent.yaml"], "absent.yaml: no such search space"),
        (["run", "bad.yaml"], "bad.yaml"),
        (["status", "toy.yaml", "grid.structurs=3"], "structures"),
        (["report", "empty"], "empty"),
        (["report", "points.csv", "grid.seeds=[1]"], "grid.seeds=[1]"),
        (["data", "info", "empty"], "empty"),
        (["data", "check", "toy.yaml"], "no `data`"),
        (["run", "toy.yaml", "storage=s3://bucket/sweep"], "tracking.uri"),
    ],
)
def test_what_a_user_can_mend_is_one_line_and_status_1(call: Call, arguments: list[str], words: str, tmp_path: Path):
    chinchilla(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "toy.yaml").write_text(SPACE.format(folder=tmp_path))
    (tmp_path / "bad.yaml").write_text("name: [1\n")
    done = call(*arguments, folder=tmp_path, ok=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("raysweep: ")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["rnu"], ["run"], ["plan", "a.yaml", "--jsn"], ["frontier", "a.csv", "--method", "guess"], ["data", "mke", "x"]],
)
def test_wrong_usage_is_status_2(call: Call, arguments: list[str], tmp_path: Path):
    done = call(*arguments, folder=tmp_path, ok=False)
    assert done.returncode == 2
    assert "Usage: raysweep" in done.stderr


def test_version_is_that_of_the_package(call: Call, tmp_path: Path):
    import raysweep as package

    assert call("--version", folder=tmp_path).stdout == f"raysweep {package.__version__}\n"


def test_schema_describes_every_key_of_a_search_space(call: Call, tmp_path: Path):
    schema = json.loads(call("schema", folder=tmp_path).stdout)
    assert {"name", "storage", "families", "grid", "learning_rate"} <= set(schema["properties"])
    undescribed = [key for key, value in schema["properties"].items() if "description" not in value]
    assert undescribed == []


def test_plan_before_anything_ran(call: Call, tmp_path: Path):
    (tmp_path / "toy.yaml").write_text(SPACE.format(folder=tmp_path))
    content = json.loads(call("plan", "toy.yaml", "grid.seeds=[0,1]", "--json", folder=tmp_path).stdout)
    assert content["totals"]["trajectories"] == 6
    assert content["totals"]["points"] == 18
    assert content["totals"]["done"] == 0
    assert "6 trajectories, 0 done, 18 points" in call("plan", "toy.yaml", "grid.seeds=[0,1]", folder=tmp_path).stdout
    status = json.loads(call("status", "toy.yaml", "--json", folder=tmp_path).stdout)
    assert status["complete"] is False
    assert status["trials"] == {}


def test_run_prints_the_frontier_and_says_where_the_files_are(ran: tuple[Path, str]):
    folder, printed = ran
    page = re.search(r"^report: (\S+) \((\d+) figures beside it; written\)$", printed, re.MULTILINE)
    assert page is not None
    assert int(page[2]) == len(list(Path(page[1]).parent.glob("*.png"))) >= 4
    assert Path(page[1]).read_text().startswith("<!DOCTYPE html>")
    assert re.search(r"^alpha +9 ", printed, re.MULTILINE)  # 3 sizes x 3 budgets
    assert f"points: {folder}/sweep/points.parquet" in printed


def test_a_second_run_prints_the_same_table_to_the_last_digit(call: Call, ran: tuple[Path, str]):
    folder, printed = ran
    again = call("run", "toy.yaml", folder=folder).stdout
    assert answers_in(again) == answers_in(printed)
    assert "unchanged)" in again
    assert "stage" not in again  # nothing was trained


def test_frontier_reads_mlflow_and_says_what_the_run_said(call: Call, ran: tuple[Path, str]):
    folder, printed = ran
    from_mlflow = call("frontier", "toy.yaml", folder=folder).stdout
    from_storage = call("frontier", "sweep", folder=folder).stdout
    from_parquet = call("frontier", "sweep/points.parquet", folder=folder).stdout
    uri = f"sqlite:///{folder}/sweep/mlflow.db"
    by_name = call("frontier", "toy", "--tracking-uri", uri, folder=folder).stdout
    assert answers_in(printed) == from_mlflow.strip() == from_storage.strip() == from_parquet.strip() == by_name.strip()


def test_status_counts_what_is_done(call: Call, ran: tuple[Path, str]):
    folder, _ = ran
    content = json.loads(call("status", "toy.yaml", "--json", folder=folder).stdout)
    (family,) = content["families"]
    assert content["complete"] is True
    assert content["trials"] == {"done": 3}
    assert (family["ended"], family["trajectories"], family["points"]) == (3, 3, 9)
    assert family["learning_rates"] == [0.02]
    assert family["best_loss"] > 0
    more = call("status", "toy.yaml", "grid.seeds=[0,1]", folder=folder).stdout
    assert "toy: not complete" in more
    assert re.search(r"^alpha +3 +6 ", more, re.MULTILINE)


def test_status_tells_a_trial_that_runs_from_one_that_was_cut_short(call: Call, ran: tuple[Path, str], tmp_path: Path):
    folder, _ = ran
    shutil.copytree(folder / "sweep", tmp_path / "sweep")
    (tmp_path / "toy.yaml").write_text(SPACE.format(folder=tmp_path))
    store = TrialStore(str(tmp_path / "sweep"))
    store.begin(store.spec(store.ids()[0]))
    cut_short = json.loads(call("status", "toy.yaml", "--json", folder=tmp_path).stdout)
    assert cut_short["trials"] == {"done": 2, "interrupted": 1}
    assert cut_short["driver"] is None
    with driver_lease(str(tmp_path / "sweep")):
        runs = json.loads(call("status", "toy.yaml", "--json", folder=tmp_path).stdout)
        assert runs["trials"] == {"done": 2, "running": 1}
        assert f"process {os.getpid()} on " in runs["driver"]
        assert "running now: process" in call("status", "toy.yaml", folder=tmp_path).stdout


def test_sync_finds_nothing_to_do_after_a_run_and_fills_an_empty_mlflow(call: Call, ran: tuple[Path, str]):
    folder, _ = ran
    assert "MLflow has all 3 trials" in call("sync", "toy.yaml", folder=folder).stdout
    uri = f"sqlite:///{folder}/other.db"
    filled = call("sync", "toy.yaml", "--tracking-uri", uri, folder=folder).stdout
    assert "MLflow now has all 3 trials" in filled
    assert "5 runs made" in filled  # three trials, the stage and the sweep
    assert "MLflow has all 3 trials" in call("sync", "toy.yaml", "--tracking-uri", uri, folder=folder).stdout


def test_run_tells_the_command_that_shows_it_in_mlflow(ran: tuple[Path, str]):
    assert "MLflow: raysweep ui toy.yaml\n" in ran[1]
    typed = ["grid.seeds=[0,1]", "storage=s3://a b/c", "tracking.experiment=d"]
    assert ui_command("toy.yaml", typed, "http://e") == (
        "raysweep ui toy.yaml 'storage=s3://a b/c' tracking.experiment=d --tracking-uri http://e"
    )


def test_ui_tells_the_addresses_on_a_server(call: Call, ran: tuple[Path, str]):
    class Mlflow(BaseHTTPRequestHandler):
        def do_GET(self):
            assert self.path == "/api/2.0/mlflow/experiments/get-by-name?experiment_name=toy"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"experiment": {"experiment_id": "7", "name": "toy", "lifecycle_stage": "active"}}')

    with HTTPServer(("127.0.0.1", 0), Mlflow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_port}"
        told = call("ui", "toy.yaml", "--tracking-uri", f"{root}/", folder=ran[0]).stdout.splitlines()
        server.shutdown()
    page = f"{root}/#/experiments/7/runs?workflowType=MACHINE_LEARNING"
    assert told[0] == page
    assert told[1].startswith(f"trials, the lowest loss first: {page}&searchFilter=")


def test_report_writes_where_it_is_told(call: Call, ran: tuple[Path, str], tmp_path: Path):
    folder, _ = ran
    done = call("report", "toy.yaml", "--out", str(tmp_path / "here"), folder=folder)
    pictures = len(list((tmp_path / "here").glob("*.png")))
    assert pictures >= 4
    assert f"report: {tmp_path}/here/report.html ({pictures} figures beside it; written)" in done.stdout
    assert (tmp_path / "here" / "report.html").read_bytes() == (folder / "sweep/report/report.html").read_bytes()


def test_report_of_a_sweep_that_is_not_complete_has_what_has_ended(call: Call, ran: tuple[Path, str], tmp_path: Path):
    folder, _ = ran
    shutil.copytree(folder / "sweep", tmp_path / "sweep")
    shutil.rmtree(tmp_path / "sweep" / "report")
    (tmp_path / "sweep" / "points.parquet").unlink()  # written when a stage ends
    store = TrialStore(str(tmp_path / "sweep"))
    ids = store.ids()
    store.begin(store.spec(ids[0]))
    done = call("report", "sweep", folder=tmp_path)
    assert f"report: {tmp_path}/sweep/report/report.html" in done.stdout
    record = json.loads((tmp_path / "sweep" / "report" / "report.json").read_text())
    assert record["answers"]["families"][0]["points"] == 6  # two trajectories of three points
    for trial_id in ids[1:]:
        store.begin(store.spec(trial_id))
    none = call("report", "sweep", folder=tmp_path, ok=False)
    assert none.returncode == 1
    assert "no trajectory of the grid has ended yet" in none.stderr


def test_data_make_info_and_check(call: Call, tmp_path: Path):
    made = call("data", "make", "store", "--structures", "24", "--seed", "5", "--workers", "1", folder=tmp_path)
    assert re.search(r"^structures +24$", made.stdout, re.MULTILINE)
    info = json.loads(call("data", "info", "store", "--json", folder=tmp_path).stdout)
    assert info["structures"] == 24
    assert len(info["fingerprint"]) >= 16
    assert info["fingerprint"] in call("data", "info", "store", folder=tmp_path).stdout
    assert info["fingerprint"] in call("data", "check", "store", folder=tmp_path).stdout
    shard = max((path for path in (tmp_path / "store").rglob("*") if path.is_file()), key=lambda p: p.stat().st_size)
    shard.write_bytes(shard.read_bytes()[:-7])
    torn = call("data", "check", "store", folder=tmp_path, ok=False)
    assert torn.returncode == 1
    assert "torn" in torn.stderr


def test_data_import_reads_what_ase_writes_with_foreign_names_and_units(call: Call, tmp_path: Path):
    frame = """3
Properties=species:S:1:pos:R:3:REF_forces:R:3 REF_energy=-1.0 group=water pbc="F F F"
O 0 0 0 0 0 0.1
H 0 0 1 0 0 -0.1
H 0 1 0 0 0 0
"""
    frames = "".join(frame.replace("water", f"w{i}").replace("-1.0", f"-1.{i}") for i in range(9))
    (tmp_path / "frames.xyz").write_text(frames)
    keys = ["--energy-key", "REF_energy", "--forces-key", "REF_forces", "--energy-unit", "kcal/mol"]
    done = call("data", "import", "store", "frames.xyz", *keys, folder=tmp_path)
    assert re.search(r"^structures +9$", done.stdout, re.MULTILINE)
    info = json.loads(call("data", "info", "store", "--json", folder=tmp_path).stdout)
    assert info["atoms"] == 27
    assert info["rms_force"] == pytest.approx(0.1 * 0.0433641 * np.sqrt(2 / 9), rel=1e-4)  # eV/Å, over components
    wrong = call("data", "import", "other", "frames.xyz", "--energy-key", "nothing", folder=tmp_path, ok=False)
    assert wrong.returncode == 1
    assert "nothing" in wrong.stderr
