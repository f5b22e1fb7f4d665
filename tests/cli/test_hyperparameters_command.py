"""`hyperparameters` prints laws, best values and what was left out; it writes the fits and a figure."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from raysweep.cli.app import main
from raysweep.frontier import hyperparameters_from_json

CELLS = [(n, d) for n in (1e8, 1e9) for d in (1e9, 1e10, 1e11)]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Runs of two families whose best rates are 1.8 N^-.7 D^.3 and twice that."""
    generator = np.random.default_rng(0)
    path = tmp_path / "runs.csv"
    with path.open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "N", "tokens", "lr", "val"])
        for family, factor in (("small", 1.8), ("large", 3.6)):
            for n, d in CELLS:
                for rate in 2.0 ** np.arange(-13, -3):
                    off = np.log(rate / (factor * n**-0.7 * d**0.3))
                    loss = 3 * np.exp(0.01 * off**2 + 0.001 * generator.normal())
                    writer.writerow([family, n, d, rate, loss if off < 3 else "nan"])
    return path


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["raysweep", "hyperparameters", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


NAMES = ["--params", "N", "--data", "tokens", "--learning-rate", "lr", "--loss", "val"]


def test_laws_and_best_values_of_each_family_are_printed_with_what_was_left_out(runs, monkeypatch, capsys):
    assert (
        command(monkeypatch, str(runs), *NAMES, "--architecture", "model", "--at", "1e9,1e10", "--at", "1e10,1e12") == 0
    )
    printed = capsys.readouterr().out
    assert printed.index("small: ok") < printed.index("large: ok")
    assert "learning rate ~ N^a  -0.6" in printed or "learning rate ~ N^a  -0.7" in printed
    assert "10 × beyond the runs" in printed
    assert "NaN, infinite or missing value" in printed


def test_json_has_laws_intervals_near_optimal_values_and_every_run_left_out(runs, monkeypatch, capsys):
    out = runs.parent / "out"
    asked = ["--architecture", "model", "--at", "1e9,1e10", "--out", str(out), "--json"]
    assert command(monkeypatch, str(runs), *NAMES, *asked) == 0
    content = json.loads(capsys.readouterr().out)
    assert list(content) == ["small", "large"]
    exponent = content["small"]["laws"]["a"]
    assert exponent["interval_95"][0] < -0.7 < exponent["interval_95"][1]
    best = [content[family]["best"][0]["learning_rate"] for family in content]
    assert best[1]["value"] / best[0]["value"] == pytest.approx(2.0, rel=0.05)
    assert best[0]["near_optimal"][0] < best[0]["value"] < best[0]["near_optimal"][1]
    kept = content["small"]["runs"]
    assert kept + len(content["small"]["excluded"]) == 10 * len(CELLS)
    found = hyperparameters_from_json((out / "hyperparameters-small.json").read_text())
    assert found.best(1e9, 1e10).learning_rate.value.value == best[0]["value"]
    assert (out / "hyperparameters-large.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no column for params"),
        ([*NAMES, "--batch", "bs"], "no column 'bs' for batch"),
        ([*NAMES, "--at", "1e9"], "give N and D, such as --at 1e9,2e10"),
        ([*NAMES, "--at", "1e9,none"], "--at"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_exit_status_1(runs, monkeypatch, capsys, arguments, message):
    assert command(monkeypatch, str(runs), *arguments) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_cells_with_two_rates_are_refused_with_the_remedy(runs, monkeypatch, capsys):
    lines = runs.read_text().splitlines()
    rates = {str(2.0**-9), str(2.0**-10)}
    kept = [line for line in lines if line.startswith("model,") or line.split(",")[3] in rates]
    runs.write_text("\n".join(line for line in kept if not line.startswith("large")) + "\n")
    assert command(monkeypatch, str(runs), *NAMES) == 0
    printed = capsys.readouterr().out
    assert "runs: too_few_settings" in printed
    assert "try 3 or more at each N and D" in printed
