"""The options of `frontier` reach the printed answers and the report that --out writes, through one question."""

import inspect
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from raysweep.cli.app import app
from raysweep.cli.commands.points import frontier as frontier_command
from raysweep.cli.points import Columns, read_material
from raysweep.core.errors import FrontierError, RaysweepError
from raysweep.frontier import fit, read_csv
from raysweep.frontier.laws.laws import effective_data
from raysweep.report.content.questions import make_question


def points(noise: float = 0.003) -> pd.DataFrame:
    params, data = (part.ravel() for part in np.meshgrid(np.geomspace(1e7, 1e9, 6), np.geomspace(1e9, 1e11, 6)))
    noisy = np.exp(noise * np.random.default_rng(0).normal(size=36))
    loss = (1.8 + 482 * params**-0.35 + 2085 * data**-0.37) * noisy
    return pd.DataFrame({"N": params, "D": data, "C": 6 * params * data, "L": loss})


NAMES = ["--params", "N", "--data", "D", "--flops", "C", "--loss", "L"]


def asked(path: Path, *options: str) -> dict[str, object]:
    done = CliRunner().invoke(app, ["frontier", str(path), *NAMES, *options, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def family(path: Path, *options: str) -> dict[str, object]:
    (only,) = asked(path, *options)["families"]
    return only


@pytest.fixture
def table(tmp_path: Path) -> Path:
    points().to_csv(tmp_path / "points.csv", index=False)
    return tmp_path / "points.csv"


def test_law_and_asymptote_are_those_of_the_fit(table: Path) -> None:
    tied = family(table, "--law", "tied")
    assert tied["alpha"]["value"] == tied["beta"]["value"]
    held = family(table, "--asymptote", "1.8")
    assert held["asymptote"]["value"] == pytest.approx(1.8, rel=1e-12)
    alone = family(table, "--law", "data")
    assert alone["alpha"] is None
    assert alone["optima"] == []


def test_purpose_shifts_the_exponents(table: Path) -> None:
    assert family(table, "--purpose", "prediction")["alpha"] != family(table)["alpha"]


def test_rows_that_are_excluded_are_those_of_the_file_and_leave_the_headline_too(table: Path) -> None:
    lowest = int(points()["L"].idxmin())
    content = asked(table, "--exclude", f"{lowest}", "--exclude", "3,5-6")
    (fit,) = content["families"]
    assert fit["points"] == 32
    assert f"{points()['L'].drop([lowest, 3, 5, 6]).min():.4g}" in content["headline"]["sentences"][0]
    assert "4 points were excluded by name" in fit["remarks"]


def test_the_window_of_d_is_fitted_alone(table: Path) -> None:
    windowed = family(table, "--window", "2e9,2e11")
    assert windowed["points"] == int((points()["D"] >= 2e9).sum()) < 36
    assert family(table, "--window", "all")["alpha"] == family(table)["alpha"]


def test_shared_parameters_are_equal_in_all_families(tmp_path: Path) -> None:
    first, second = points(), points(0.004)
    pd.concat([first.assign(model="a"), second.assign(model="b")]).to_csv(tmp_path / "p.csv", index=False)
    content = asked(tmp_path / "p.csv", "--group", "model", "--share", "E", "--share", "beta")
    one, two = content["families"]
    assert one["asymptote"]["value"] == two["asymptote"]["value"]
    assert one["beta"]["value"] == two["beta"]["value"]
    assert one["alpha"]["value"] != two["alpha"]["value"]


def test_weights_trajectories_and_groups_are_columns(tmp_path: Path) -> None:
    frame = points()
    frame["w"] = np.where(frame["N"] > 2e8, 5.0, 1.0)
    frame["run"] = frame["N"].rank(method="dense").astype(int)
    frame["model"] = np.where(np.arange(36) % 2, "a", "b")
    frame.to_csv(tmp_path / "p.csv", index=False)
    plain = family(tmp_path / "p.csv")
    assert family(tmp_path / "p.csv", "--weight", "w")["alpha"]["value"] != plain["alpha"]["value"]
    clustered = family(tmp_path / "p.csv", "--trajectory", "run")["params_exponent"]
    assert clustered["low"] != plain["params_exponent"]["low"]
    for name in ("--group", "--architecture"):
        assert [one["family"] for one in asked(tmp_path / "p.csv", name, "model")["families"]] == ["b", "a"]


def test_families_are_compared_on_request(tmp_path: Path) -> None:
    first, second = points(), points(0.004)
    second["L"] *= 1.05
    frame = pd.concat([first.assign(model="low"), second.assign(model="high")])
    frame.to_csv(tmp_path / "p.csv", index=False)
    content = asked(tmp_path / "p.csv", "--group", "model", "--optimal", "1e20", "--contrasts")
    named = [(one["quantity"], one["flops"]) for one in content["contrasts"]]
    assert named == [("loss_exponent", None), ("optimal_loss", 1e20), ("optimal_params", 1e20)]
    assert content["contrasts"][1]["orders"][0]["families"] == ["low", "high"]
    assert [(one["before"], one["flops"]) for one in content["crossovers"]] == [("low", None)]
    arguments = ["frontier", str(tmp_path / "p.csv"), *NAMES, "--group", "model", "--contrasts"]
    shown = CliRunner().invoke(app, arguments, catch_exceptions=False).stdout
    assert "low - high" in shown
    assert "low / high - 1" in shown
    assert "low is lower at every compute" in shown
    assert "contrasts" not in asked(tmp_path / "p.csv", "--group", "model")


def test_distinct_data_are_a_column_and_an_amount(tmp_path: Path) -> None:
    frame = points()
    noise = frame["L"] / points(0.0)["L"]
    frame["U"] = np.where(np.arange(36) % 2, frame["D"], np.minimum(frame["D"], 2e9))
    law = 1.8 + 482 * frame["N"] ** -0.35 + 2085 * effective_data(frame["D"], frame["U"], 15.0) ** -0.37
    frame["L"] = law * noise
    frame.to_csv(tmp_path / "p.csv", index=False)
    options = ["--unique-data", "U", "--law", "data_constrained", "--optimal", "1e20"]
    named = {"params": "N", "data": "D", "flops": "C", "loss": "L", "unique_data": "U"}
    found = fit(read_csv(tmp_path / "p.csv", named), law="data_constrained", bootstraps=0)
    (held,) = family(tmp_path / "p.csv", *options, "--unique-data", "1e9")["optima"]
    assert held["loss"]["value"] == pytest.approx(found.optimal(1e20, unique_data=1e9).loss.value, rel=1e-9)
    assert held["loss"]["value"] > found.optimal(1e20).loss.value * 1.01
    assert "counts repeats as new data" in " ".join(family(tmp_path / "p.csv", "--unique-data", "U")["remarks"])


def test_the_report_answers_the_same_question(table: Path, tmp_path: Path) -> None:
    options = ["--law", "tied", "--method", "isoflop", "--optimal", "1e21", "--exclude", "0", "--asymptote", "1.7"]
    for more in (options, [*options[:2], "--optimal", "3e20"]):
        printed = asked(table, *more, "--out", str(tmp_path / "out"))
        written = json.loads((tmp_path / "out" / "report.json").read_text())["answers"]
        assert written["method"] == printed["method"]
        assert json.loads(json.dumps(written["families"])) == printed["families"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--law", "cubic"], "law = 'cubic': give auto, additive, tied"),
        (["--asymptote", "nan"], "asymptote = nan"),
        (["--asymptote", "low"], "asymptote = 'low'"),
        (["--purpose", "fun"], "purpose = 'fun'"),
        (["--window", "late"], "window = 'late'"),
        (["--window", "3e9,low"], "window = '3e9,low': give auto, all, or two amounts"),
        (["--window", "3e9,1e9"], "window = "),
        (["--share", "gamma"], "share = .*gamma"),
        (["--share", "E"], "the points are of one family; name its column"),
        (["--share", "E", "--method", "isoflop"], "share = .* is for method='parametric'"),
        (["--exclude", "x"], "exclude = 'x'"),
        (["--exclude", "36"], r"outside 0\.\.35"),
        (["--exclude", "5-3"], "exclude = '5-3'"),
        (["--exclude", "0-99999999999"], "exclude = '0-9999"),
        (["--weight", "w"], "no column 'w' for weight"),
        (["--unique-data", "1e9"], "does not model repeated data"),
        (["--unique-data", "1e9", "--unique-data", "2e9"], "one column and one amount"),
        (["--law", "params", "--optimal", "1e20"], "no optimum"),
        (["--optimal", "nan"], "--optimal nan"),
        (["--contrasts"], "two are needed"),
    ],
)
def test_an_option_without_a_meaning_is_refused_by_name(table: Path, options: list[str], message: str) -> None:
    with pytest.raises(RaysweepError, match=message):
        CliRunner().invoke(app, ["frontier", str(table), *NAMES, *options], catch_exceptions=False)


def test_columns_are_named_for_files_alone(tmp_path: Path) -> None:
    with pytest.raises(RaysweepError, match=r"only a \.csv, \.tsv or \.parquet file has columns"):
        CliRunner().invoke(app, ["frontier", str(tmp_path), "--weight", "w"], catch_exceptions=False)


@pytest.mark.parametrize("name", ["points.CSV", "points.tsv", "points.txt"])
def test_a_file_of_points_is_known_by_its_extension(tmp_path: Path, name: str) -> None:
    points().to_csv(tmp_path / name, index=False, sep="\t" if name.endswith("tsv") else ",")
    columns = Columns(params="N", data="D", flops="C", loss="L")
    assert read_material(str(tmp_path / name), columns, None).points.num_rows == 36


@pytest.mark.parametrize("name", ["points.xlsx", "points.csv.gz", "points.json"])
def test_a_file_of_another_format_is_refused_with_the_formats_that_are_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(FrontierError, match=rf"{name}: points are read from \.csv, \.tsv and \.parquet files"):
        read_material(str(tmp_path / name), Columns(), None)


def test_findings_are_one_line_a_kind_the_gravest_first(tmp_path: Path) -> None:
    frame = pd.concat([points(), points().iloc[[4]]], ignore_index=True)
    frame.loc[0, "L"] = np.nan
    frame.loc[7, "L"] *= 0.3
    frame.loc[[9, 20], "L"] *= -1
    frame.drop(columns="C").to_csv(tmp_path / "p.csv", index=False)
    arguments = ["frontier", str(tmp_path / "p.csv"), "--params", "N", "--data", "D", "--loss", "L"]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    lines = done.stdout.split("brackets: 95 % intervals\n")[1].splitlines()
    starts = [
        "all points: 1 point has a NaN, infinite or missing value",
        "all points: 2 points have a value that is not positive",
        "all points: 1 point repeats another in every column",
        "all points: 1 point lies far below the law and has no weight",
        "all points: 37 values of flops were computed as C = 6 N D",
    ]
    places = [next(place for place, line in enumerate(lines) if line.startswith(start)) for start in starts]
    assert places == sorted(places)
    assert "(row 7)" in lines[places[3]]
    assert len(lines) == len(set(lines))
    assert not any("1 points" in line for line in lines)


def test_what_no_option_says_is_as_in_python() -> None:
    arguments = inspect.signature(fit).parameters
    assert make_question().settings() == {name: arguments[name].default for name in make_question().settings()}
    command = inspect.signature(frontier_command).parameters
    assert command["law"].default == arguments["law"].default
    assert command["method"].default == arguments["method"].default


def test_the_report_of_a_file_names_d_as_told(tmp_path: Path) -> None:
    points().rename(columns={"N": "params", "D": "data", "C": "flops", "L": "loss"}).to_csv(
        tmp_path / "p.csv", index=False
    )
    CliRunner().invoke(app, ["report", str(tmp_path / "p.csv"), "--data-unit", "tokens"], catch_exceptions=False)
    assert "seconds per 1000 tokens" in (tmp_path / "p-report" / "report.html").read_text()


def test_the_unit_of_d_is_given_or_read_from_the_name_of_its_column(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("params,tokens,flops,loss\n1e6,1e9,6e15,3.0\n")
    columns = Columns(data="tokens")
    assert read_material(str(path), columns, None).data_unit == "tokens"
    assert read_material(str(path), columns, None, "bytes").data_unit == "bytes"
