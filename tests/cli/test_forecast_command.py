"""`forecast`: recorded, listed, proved on Ray, with exit statuses and JSON."""

import json
from pathlib import Path

import pytest
from finished_sweep import command, finished

AT = str(6 * 100 * 24**2 * 1600 * 4.0)


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forecast")
    return finished(
        folder / "space.yaml",
        folder / "sweep",
        families={"a": {"architecture": "toy-a", "sizes": {"width": [8, 12, 16, 24]}}},
        grid={"structures": [100, 200, 400, 800, 1600], "seeds": [0, 1]},
    )


def test_a_forecast_is_recorded_and_counts_no_more_once_it_was_altered(space: Path) -> None:
    folder = space.parent
    none = command("forecast", str(space), folder=folder)
    assert (none.returncode, none.stdout.splitlines()[:1]) == (0, ["no forecast is on record"]), none.stderr
    made = command("forecast", str(space), "--at", AT, "--json", folder=folder)
    assert made.returncode == 0, made.stderr
    content = json.loads(made.stdout)
    file = folder / "sweep" / "forecasts" / f"{content['id']}.json"
    file.write_text(file.read_text().replace('"family": "a"', '"family": "b"'))
    altered = command("forecast", str(space), folder=folder)
    assert altered.returncode == 1
    assert "was altered and does not count" in altered.stderr
    file.unlink()


@pytest.mark.slow  # tests/sweep/forecasts proves them without Ray
def test_forecast_is_recorded_listed_and_proved_on_ray(space: Path) -> None:
    folder = space.parent
    made = command("forecast", str(space), "--at", AT, "--json", folder=folder)
    assert made.returncode == 0, made.stderr
    content = json.loads(made.stdout)
    assert (folder / "sweep" / "forecasts" / f"{content['id']}.json").is_file()
    shown = command("forecast", str(space), "--at", AT, folder=folder)
    assert f"forecast       {content['id']}, recorded {content['date']}" in shown.stdout

    before = command("frontier", str(folder / "sweep"), "--json", folder=folder)
    assert before.returncode == 0, before.stderr
    proved = command("forecast", str(space), "--prove", content["id"][:6], "--json", folder=folder)
    assert proved.returncode == 0, proved.stderr
    (outcome,) = json.loads(proved.stdout)["forecasts"]
    assert outcome["state"] == "done"
    assert outcome["scores"]["loss"]["inside"] is True
    for source in (folder / "sweep", space):  # the storage, and MLflow
        assert command("frontier", str(source), "--json", folder=folder).stdout == before.stdout
    status = json.loads(command("status", str(space), "--json", folder=folder).stdout)
    assert (status["complete"], status["forecasts"]["recorded"], status["forecasts"]["inside"]) == (True, 1, 1)
    assert "<h2>Forecasts</h2>" in (folder / "sweep" / "report" / "report.html").read_text()
    listed = json.loads(command("forecast", str(space), "--json", folder=folder).stdout)
    assert listed["totals"] == {
        "recorded": 1, "proved": 1, "inside": 1, "others": 0, "share_inside": 1.0,
        "median_error": abs(outcome["scores"]["loss"]["error"]),
    }  # fmt: skip
    assert [one["scores"] for one in listed["forecasts"]] == [outcome["scores"]]
    again = command("run", str(space), f"forecast.at_flops={AT}", folder=folder)  # whose forecast is on record
    assert again.returncode == 0, again.stderr
    assert "; its run gave " in again.stdout
    table = command("forecast", str(space), folder=folder).stdout
    assert "1 on record, 1 proved, 1 of them inside" in table


def test_options_that_need_others_are_named(space: Path) -> None:
    folder = space.parent
    alone = command("forecast", str(space), "--family", "a", folder=folder)
    assert (alone.returncode, alone.stderr) == (
        1,
        "raysweep: --family says how to forecast: give the compute as well (--at FLOPS)\n",
    )
    stray = command("forecast", str(space), "abc", folder=folder)
    assert stray.returncode == 1
    assert "abc: give forecasts' ids to prove them (--prove)" in stray.stderr
