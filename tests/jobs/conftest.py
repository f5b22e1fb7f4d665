"""A Ray head on the loopback address, with a token, and the command line as its user."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray_head import SPACE, TOYS, Head, User, UserMaker, short_folder


@pytest.fixture(scope="session")
def head() -> Iterator[Head]:
    made = Head(short_folder())
    made.start()
    yield made
    made.kill()
    shutil.rmtree(made.folder)


@pytest.fixture
def make_user(tmp_path: Path) -> UserMaker:
    def make(head: Head, nap: float = 0.0) -> User:
        folder = tmp_path / "laptop"
        folder.mkdir()
        (folder / "toy_trials.py").write_text(TOYS.read_text())
        text = SPACE.format(storage=tmp_path / "shared" / "toy", nap=nap, hold=tmp_path / "hold")
        (folder / "toy.yaml").write_text(text)
        return User(folder, head)

    return make
