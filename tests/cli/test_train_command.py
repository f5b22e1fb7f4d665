"""`train`: one command after the sweep, on Ray, with its plan, JSON, status, report and MLflow."""

import json
from pathlib import Path

import pytest
from finished_sweep import command, finished

AT = str(6 * 100 * 24**2 * 1600 * 4.0)


@pytest.mark.slow  # tests/sweep/forecasts trains models without Ray
def test_the_best_model_is_trained_by_one_command_and_stands_in_status_and_report(tmp_path: Path) -> None:
    space = finished(
        tmp_path / "space.yaml",
        tmp_path / "sweep",
        families={"a": {"architecture": "toy-a", "sizes": {"width": [8, 12, 16, 24]}}},
        grid={"structures": [100, 200, 400, 800, 1600], "seeds": [0, 1]},
    )
    planned = command("train", str(space), "--at", AT, "--plan", "--json", folder=tmp_path)
    assert planned.returncode == 0, planned.stderr
    plan = json.loads(planned.stdout)
    assert not (tmp_path / "sweep" / "forecasts").exists()

    done = command("train", str(space), "--at", AT, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{plan['trial_id']}, planned" in done.stdout
    assert "inside" in done.stdout
    status = json.loads(command("status", str(space), "--json", folder=tmp_path).stdout)
    (model,) = status["models"]
    assert (model["trial_id"], model["state"]) == (plan["trial_id"], "done")
    assert "inside its forecast" in command("status", str(space), folder=tmp_path).stdout
    assert "<h2>Trained models</h2>" in (tmp_path / "sweep" / "report" / "report.html").read_text()
    stray = command("train", str(space), "--at", AT, "--size", "width", folder=tmp_path)
    assert (stray.returncode, stray.stderr) == (1, "raysweep: --size 'width': write the knobs as width=32,depth=2\n")

    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/sweep/mlflow.db")
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()])
    assert "4 models" in {run.info.run_name for run in runs}
