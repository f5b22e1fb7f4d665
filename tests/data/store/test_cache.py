"""Where shards are kept: where a user says, at home, or, without a home that can be written, with temporary files."""

import os
import tempfile
from pathlib import Path

import pytest

from raysweep.data.store.cache import cache_folder


def test_a_cache_is_where_it_is_named_or_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAYSWEEP_CACHE", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "raysweep"
    monkeypatch.setenv("RAYSWEEP_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "mine"


@pytest.mark.parametrize("home", ["absent", "read-only", "unknown"])
def test_a_home_that_cannot_be_written_leaves_the_folder_of_temporary_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: str
) -> None:
    monkeypatch.delenv("RAYSWEEP_CACHE", raising=False)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: "/scratch")
    monkeypatch.setenv("HOME", {"absent": "/nonexistent"}.get(home, str(tmp_path)))
    monkeypatch.setattr(os, "access", lambda place, mode: False)  # root may write everywhere
    if home == "unknown":

        def unknown() -> Path:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr(Path, "home", unknown)
    assert cache_folder() == Path(f"/scratch/raysweep-cache-{os.getuid()}")
