"""Whatever is typed, a command that fails says so in a line, with exit status 1 or 2, and never in a traceback."""

import os
import sys
from pathlib import Path

import pytest

from raysweep.cli.app import main

TOYS = str(Path(__file__).parent / "sweep")
SPACE = """
name: toy
storage: sweep
{more}
families: {{a: {{architecture: mpnn, sizes: {{width: [8, 16]}}}}}}
grid: {{structures: [100, 200]}}
learning_rate: {{rates: {{a: 0.02}}}}
tracking: {{enabled: false}}
"""
PLACES = (
    *("absent", "absent.yaml", "absent.csv", "absent.parquet", "folder", "folder.yaml", "folder.csv", "binary.csv"),
    *("binary.yaml", "binary.parquet", "empty.csv", "empty.yaml", "header.csv", "file", "pipe.yaml", "pipe.csv"),
    *("x" * 300, "x" * 300 + ".yaml", "x" * 300 + ".csv", "a/" * 2500 + "x.csv", "%41?x#y.csv", "日本.yaml"),
    *("new\nline.yaml", "s3://", "nope://x/y.csv", "file:///absent", "", " ", "-", "/dev/null", "file/x.yaml"),
    *("file/x.csv", "no_store.yaml", "damaged.yaml", "damaged"),
)
OVERRIDES = (
    *("grid.seeds=[0,1", "a.b.c", "=3", "grid..seeds=1", "grid.seeds[0]=1", "grid.seeds=.nan", "grid.seeds=[-1]"),
    *("storage=nope://x", "storage=" + "x" * 300, "storage=file/x", "storage=''", "name=x/y", "earlier=[folder]"),
    *("entrypoint=absent:train", "data.store=folder", "data={store: file}", "families.a.sizes=~", "grid=\n"),
)
NUMBERS = ("nan", "-1", "0", "inf", "x", "1e999", "9" * 400, "", "1.5")
COMMANDS = [
    *(["plan", place] for place in PLACES),
    *(["plan", "toy.yaml", override] for override in OVERRIDES),
    *([command, "toy.yaml", "grid.seeds=[-1]"] for command in ("run", "status", "report", "sync", "ui", "doctor")),
    *([command, "binary.yaml"] for command in ("run", "status", "report", "sync", "ui", "doctor")),
    *(["submit", "no_store.yaml", "--address", address] for address in ("nope", "", "http://[::1", "ftp://x")),
    *(["frontier", place] for place in PLACES),
    *(["report", place] for place in ("absent", "folder", "binary.csv", "empty.csv", "header.csv", "pipe.csv", "s3://")),
    *(["frontier", "header.csv", "--optimal", number] for number in NUMBERS),
    *(["data", command, place] for command in ("info", "check") for place in PLACES),
    *(["data", "info", "damaged", "--cutoff", number] for number in NUMBERS),
    *(["data", "export", place, "out.parquet"] for place in ("absent", "damaged", "folder", "pipe.csv")),
    *(["data", "make", "store", "--structures", number] for number in NUMBERS),
    *(["data", "make", "store", "--structures", "9", "--seed", number] for number in ("nan", "-1", "x", "9" * 400)),
    *(["data", "make", "store", "--structures", "9", "--preset", "nope"],),
    *(["data", "import", "store", place] for place in ("absent", "folder", "binary.csv", "file", "x" * 300)),
    *(["check-transfer", "mpnn", "damaged", "--widths", number] for number in NUMBERS),
    *(["check-transfer", "mpnn", "damaged", knob] for knob in ("depth=.inf", "depth", "depth=[1]", "depth=~")),
    *(["check-transfer", name, "damaged"] for name in ("mpnm", "x/y", "")),
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder full of what is no search space, no store and no table of points."""
    place = tmp_path_factory.mktemp("hostile")
    for name in ("folder", "folder.yaml", "folder.csv", "damaged"):
        (place / name).mkdir()
    for name in ("binary.csv", "binary.yaml", "binary.parquet"):
        (place / name).write_bytes(bytes(range(256)))
    for name in ("pipe.yaml", "pipe.csv"):
        os.mkfifo(place / name)
    texts = {
        "empty.csv": "", "empty.yaml": "", "file": "x", "header.csv": "params,data,flops,loss\n",
        "damaged/manifest.json": "{", "toy.yaml": SPACE.format(more="entrypoint: toy_trials:train"),
        "no_store.yaml": SPACE.format(more="data: {store: absent}"),
        "damaged.yaml": SPACE.format(more="data: {store: damaged, make: {structures: 9000}}"),
    }  # fmt: skip
    for name, text in texts.items():
        (place / name).write_text(text)
    return place


def shown(arguments: list[str]) -> str:
    return " ".join(word if len(word) < 40 else f"{word[:37]}..." for word in arguments).replace("\n", " ")


@pytest.mark.parametrize("arguments", COMMANDS, ids=shown)
def test_hostile_arguments_are_refused_in_a_line(
    arguments: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(TOYS)
    monkeypatch.setattr(sys, "argv", ["raysweep", *arguments])
    for name in ("MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    if end.value.code == 0:  # a table without points is answered
        assert arguments[:2] in (["frontier", "header.csv"],), out
        return
    assert end.value.code in (1, 2)
    if end.value.code == 1:
        assert err.startswith("raysweep: "), err
        assert err.count("\n") == 1, err
    else:
        assert "Usage: raysweep" in err
    assert "Traceback" not in err
