"""MLflow's pages and the report in a browser, with names and messages that would like to be markup."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from mlflow.tracking import MlflowClient
from sweeps import points, runs, spec, trial_runs, view
from test_server import Server

from raysweep.core.points import to_table
from raysweep.core.trial import TrialState
from raysweep.report.content.sources import from_points
from raysweep.report.write import write
from raysweep.tracking.mlflow import Report, find_experiment, sync

EVIL = "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no browser (apt-get install chromium)"),
]


def render(url: str, profile: Path) -> str:
    """Return a page's document once its scripts have run, from a browser that knows nothing else."""
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
    command += ["--disable-dev-shm-usage", "--timeout=60000", "--virtual-time-budget=30000", "--dump-dom", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def assert_is_text(page: str) -> None:
    """Hold that the hostile name is shown, and that it is no element: one would be written as `<img src="x"`."""
    assert "&lt;img src=x onerror" in page
    assert '<img src="x"' not in page
    assert "<title>pwned" not in page


def test_report_of_a_strangers_points_runs_nothing(tmp_path: Path) -> None:
    hostile = [point for i in range(3) for point in points(spec(i), count=8)]
    table = to_table(hostile).select(["params", "data", "flops", "loss"])
    table = table.append_column("architecture", pa.array([EVIL] * len(hostile)))
    written = write(from_points(table, EVIL), str(tmp_path / "report"))
    page = render((tmp_path / "report" / written.files[0]).as_uri(), tmp_path / "profile")
    assert_is_text(page)


@pytest.mark.timeout(600)
def test_mlflows_pages_show_hostile_names_as_text(uri: str, tmp_path: Path) -> None:
    bad = view(1, TrialState.FAILED)
    evil = replace(
        bad,
        serves=(("grid", EVIL[:100]),),
        params={**bad.params, "size.width": EVIL, "../../etc/passwd": "a path", "bell\x07": "x" * 10_000},
        tags={EVIL: EVIL, "../x\x00": "\x1b[31m"},
        message=EVIL + "\x00" + "x" * 10_000,
    )
    report = Report({"report.html": b"<p>fine</p>", "../../escaped.html": EVIL.encode()})
    place = {"tracking_uri": uri, "experiment": f"all {EVIL}", "sweep_name": EVIL, "report": report}
    sync([view(0), evil], **place)
    assert sync([view(0), evil], **place).equal
    run = trial_runs(uri, f"all {EVIL}")[evil.trial_id]
    assert all(len(value) <= 2000 for value in run.data.params.values())
    assert not any(part in key for key in run.data.params for part in ("/", "\x07"))
    assert not list(tmp_path.rglob("../escaped.html"))
    server = Server(uri, tmp_path)
    try:
        server.start()
        server.wait()
        number = run.info.experiment_id
        assert find_experiment(f"all {EVIL}", server.uri) == number
        root = next(r for r in runs(uri, f"all {EVIL}") if r.data.tags["raysweep.kind"] == "sweep")
        assert MlflowClient(tracking_uri=uri).list_artifacts(root.info.run_id, "report")
        for page in (
            f"/#/experiments/{number}/runs?workflowType=MACHINE_LEARNING",
            f"/#/experiments/{number}/runs/{run.info.run_id}",
            f"/#/experiments/{number}/runs/{root.info.run_id}",
        ):
            shown = render(server.uri + page, tmp_path / "profile")
            assert_is_text(shown)
    finally:
        server.stop()
