"""Commands beside `run` on terminals of several kinds: they end well, fit the window, and colour nothing unasked."""

from pathlib import Path

import pytest
from commands import RAYSWEEP, environment, toy_folder
from finished_sweep import finish
from on_a_terminal import COLOUR, OnTerminal

from raysweep.sweep.space.space import load_space
from tests.drivers import Driver


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a toy sweep that is complete."""
    place = toy_folder(tmp_path_factory.mktemp("terminal"))
    finish(load_space(place / "toy.yaml", [f"storage={place / 'sweep'}"]))
    return place


def shown(folder: Path, *arguments: str, columns: int = 80, **changes: str) -> OnTerminal:
    """Run a command to its end, which must be a good one."""
    how = {"columns": columns, "folder": folder, "environment": environment(**changes), "start": Driver}
    with OnTerminal([RAYSWEEP, *arguments], **how) as ran:
        assert ran.end() == 0, ran.text
    assert "Traceback" not in ran.text
    return ran


@pytest.mark.parametrize("command", [("status", "toy.yaml"), ("plan", "toy.yaml"), ("frontier", "sweep")])
def test_a_command_that_reads_says_the_same_on_every_terminal(folder: Path, command: tuple[str, ...]) -> None:
    plain = shown(folder, *command, columns=80, TERM="dumb")
    words = set(plain.text.split())
    assert {"alpha", "9"} <= words
    assert "\x1b" not in plain.raw
    kinds: list[tuple[int, dict[str, str]]] = [(120, {"NO_COLOR": "1"}), (80, {}), (120, {})]
    for columns, changes in kinds if command[0] == "status" else kinds[:1]:
        ran = shown(folder, *command, columns=columns, **changes)
        assert words <= set(ran.text.split()), "no width and no kind of terminal leaves anything out"
        assert "NO_COLOR" not in changes or not COLOUR.search(ran.raw)


def test_a_store_is_made_on_a_terminal_that_changes_its_size(tmp_path: Path) -> None:
    command = [RAYSWEEP, "data", "make", "store", "--structures", "400"]
    with OnTerminal(command, columns=120, folder=tmp_path, environment=environment()) as making:
        making.wait_for(r"\d+/400 structures")
        making.resize(80)
        assert making.end() == 0, making.text
    assert "Traceback" not in making.text
    assert (tmp_path / "store" / "manifest.json").exists()
    dumb = shown(tmp_path, "data", "info", "store", TERM="dumb")
    assert "400" in dumb.text
    assert "\x1b" not in dumb.raw
