import hashlib
import threading
from pathlib import Path

import pytest

from raysweep.data.importing import digests
from raysweep.data.importing.digests import digest_of, digests_beside


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return files of several pieces, of a piece, and of nothing."""
    monkeypatch.setattr(digests, "PIECE", 1000)
    found = [tmp_path / str(size) for size in (3210, 1000, 0)]
    for i, file in enumerate(found):
        file.write_bytes(bytes(range(i, 250)) * 13 if i == 0 else bytes([i]) * int(file.name))
    return found


def test_digests_are_those_of_the_whole_files_in_their_order(files: list[Path]) -> None:
    with digests_beside(files, 2) as wait:
        assert wait() == [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


def test_hashing_ends_with_the_block(files: list[Path]) -> None:
    over = threading.Event()
    over.set()
    assert digest_of(files[0], over) == hashlib.sha256(b"").hexdigest()
    with digests_beside([Path("/dev/zero")], 1):  # would never end
        pass


def test_a_file_that_is_gone_is_an_error_where_digests_are_waited_for(tmp_path: Path) -> None:
    with digests_beside([tmp_path / "gone"], 1) as wait, pytest.raises(FileNotFoundError):
        wait()
