"""A password in the search space's addresses is in no file of the storage, and in nothing that is printed or sent."""

import json
import sys
from pathlib import Path

import pytest
from finished_sweep import command, files, write_space

from raysweep.cli.app import main
from raysweep.core.errors import ClusterError
from raysweep.jobs.request import Request
from raysweep.sweep.space.space import load_space

SECRET = "hunter2"
LEAKY = f"""
import sys
import toy_trials


def train(spec, store, *, checkpoints, device):
    yield from list(toy_trials.train(spec, store, checkpoints=checkpoints, device=device))[:1]
    sys.stderr.write("stderr: s3://AKIA:{SECRET}@bucket\\n")
    if spec.size["width"] == 8:
        raise ValueError("cannot reach postgresql://joe:{SECRET}@db/x?sslpassword={SECRET}")
    yield from list(toy_trials.train(spec, store, checkpoints=checkpoints, device=device))[1:]
"""


def test_a_password_is_in_no_file_of_a_sweep_and_in_nothing_that_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "leaky.py").write_text(LEAKY)
    uri = f"http://joe:{SECRET}@127.0.0.1:9/mlflow?token={SECRET}"  # where nobody answers
    write_space(tmp_path / "toy.yaml", "sweep", entrypoint="leaky:train", tracking={"uri": uri})
    ran = command("run", "toy.yaml", folder=tmp_path)
    printed = {"run": ran.stdout + ran.stderr}
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for words in (
        ("status", "toy.yaml", "--json"),
        ("plan", "toy.yaml", "--json"),
        ("report", "toy.yaml"),
        ("sync", "toy.yaml"),
        ("ui", "toy.yaml"),
        ("frontier", "toy.yaml"),
        ("run", "toy.yaml", f"storage=ftp://joe:{SECRET}@host/x"),
        ("plan", "toy.yaml", f"data.store=s3://AKIA:{SECRET}@127.0.0.1/x?scheme=gopher&secret_key={SECRET}"),
    ):
        monkeypatch.setattr(sys, "argv", ["raysweep", *words])
        with pytest.raises(SystemExit):
            main()
        printed[words[0] + str(len(words))] = "".join(capsys.readouterr())
    assert [name for name, text in printed.items() if SECRET in text] == []
    assert "http://joe:***@127.0.0.1:9/mlflow?token=***" in printed["run"]
    assert "postgresql://joe:***@db/x?sslpassword=***" in printed["status3"]
    kept = files(tmp_path / "sweep")
    assert {"sweep.json", "report/report.html", "logs/ray.log"} <= set(kept)
    assert [name for name, data in kept.items() if SECRET.encode() in data] == []
    assert json.loads(kept["sweep.json"])["space"]["tracking"]["uri"] == "http://joe:***@127.0.0.1:9/mlflow?token=***"
    assert load_space(tmp_path / "toy.yaml").tracking.uri == uri  # which a resumed sweep reaches MLflow by


@pytest.mark.parametrize(
    ("overrides", "options"),
    [
        ((f"tracking.uri=http://joe:{SECRET}@host",), ()),
        ((), ("--tracking-uri", f"postgresql://joe:{SECRET}@db/x")),
        ((f"storage=s3://AKIA:{SECRET}@bucket/x",), ()),
    ],
)
def test_a_job_s_command_holds_no_password(
    tmp_path: Path, overrides: tuple[str, ...], options: tuple[str, ...]
) -> None:
    path = write_space(tmp_path / "toy.yaml", "sweep", tracking={"uri": f"http://joe:{SECRET}@host"})
    request = Request(space=load_space(path), path=path, folder=tmp_path, overrides=overrides, options=options)
    with pytest.raises(ClusterError, match="write it into the search space's file") as error:
        request.command("run", request.options)
    assert SECRET not in str(error.value)
    assert SECRET not in Request(space=load_space(path), path=path, folder=tmp_path).command("run")
