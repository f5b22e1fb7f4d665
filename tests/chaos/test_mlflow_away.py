"""An MLflow server that is away for a minute in the middle of a sweep costs no trial, and has all in the end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from killable import TOY, Sweep

sys.path.append(str(Path(__file__).parents[1] / "cluster"))
from servers import MlflowServer

RAYSWEEP = str(Path(sys.executable).with_name("raysweep"))
AWAY_SECONDS = 60


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_server_that_is_away_for_a_minute_has_all_trials_in_the_end(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    server = MlflowServer(tmp_path / "server", f"sqlite:///{tmp_path}/mlflow.db")
    server.start()
    try:
        sweep = Sweep(tmp_path / "toy", nap=2.5, tune=False, tracked=True, uri=server.uri)
        environment = {**os.environ, "PYTHONPATH": str(TOY), "OMP_NUM_THREADS": "1"}
        with (tmp_path / "driver.log").open("w") as log:
            driver = subprocess.Popen(
                [RAYSWEEP, "run", str(sweep.yaml)], env=environment, stdout=log, stderr=subprocess.STDOUT, text=True
            )
        sweep.wait(lambda: sweep.worked() >= 4, driver)
        server.stop(signal.SIGKILL)
        before = sweep.worked()
        time.sleep(AWAY_SECONDS)
        assert sweep.worked() >= before + 20  # it went on meanwhile
        server.start()
        assert driver.wait(timeout=300) == 0, (tmp_path / "driver.log").read_text()
        assert sweep.worked() == 64

        from mlflow import MlflowClient

        client = MlflowClient(server.uri)
        runs = client.search_runs([e.experiment_id for e in client.search_experiments()], max_results=1000)
        trials = [run.data.tags["raysweep.trial_id"] for run in runs if "raysweep.trial_id" in run.data.tags]
        assert sorted(trials) == sorted(sweep.store.ids())
        assert {run.info.status for run in runs} == {"FINISHED"}
        done = subprocess.run(
            [RAYSWEEP, "sync", str(sweep.yaml)], env=environment, capture_output=True, text=True, check=True
        )
        assert "MLflow has all 8 trials that have ended" in done.stdout  # and nothing was left to do
    finally:
        server.stop(signal.SIGKILL)
