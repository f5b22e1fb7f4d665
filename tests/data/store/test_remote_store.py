"""Stores on a file system that is not this machine's own: the branch that s3:// and gs:// take."""

from pathlib import Path

import numpy as np
import pytest
from invented import invent
from pyarrow import fs

from raysweep.core.errors import DataError
from raysweep.data.generation import parts
from raysweep.data.generation.xtb import make_store
from raysweep.data.store import destination, writing
from raysweep.data.store import store as store_module
from raysweep.data.store.manifest import Provenance
from raysweep.data.store.store import Store, open_store
from raysweep.data.store.writing import write_store
from tests.kept_workers import KeptWorkers


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make `elsewhere://store` a folder behind a file system that is not local to pyarrow, with a cache of its own."""
    folder = tmp_path / "bucket"
    (folder / "store").mkdir(parents=True)
    elsewhere = fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())
    for module in (store_module, destination, writing, parts):
        monkeypatch.setattr(module, "open_location", lambda location: (elsewhere, str(location).split("://")[1]))
    monkeypatch.setenv("RAYSWEEP_CACHE", str(tmp_path / "cache"))
    return folder / "store"


def _write() -> Store:
    return write_store(
        "elsewhere://store",
        invent(40, groups=8),
        Provenance(source="invented", licence="none"),
        validation_fraction=0.25,
        seed=0,
        structures_per_shard=20,
    )


def test_shards_are_fetched_once_and_then_read_from_the_cache(remote: Path, tmp_path: Path) -> None:
    store = _write()
    first = store.read(np.arange(40))
    assert len(list((tmp_path / "cache").glob("*.arrow"))) == 2
    for shard in remote.glob("*.arrow"):
        shard.unlink()
    again = open_store("elsewhere://store").read(np.arange(40))
    assert again.positions.tobytes() == first.positions.tobytes()
    with pytest.raises(DataError, match=r"shard-00000.arrow is missing; shard-00001.arrow is missing"):
        store.check()


def test_a_shard_that_was_altered_elsewhere_is_not_taken_into_the_cache(remote: Path, tmp_path: Path) -> None:
    store = _write()
    shard = remote / "shard-00001.arrow"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DataError, match=r"shard-00001.arrow: the fetched file is torn or altered"):
        store.read([39])
    assert list((tmp_path / "cache").glob("*.arrow")) == []
    shard.unlink()
    with pytest.raises(DataError, match=r"shard shard-00001.arrow cannot be read .*is missing"):
        store.read([39])


def test_a_torn_file_in_the_cache_is_fetched_again(remote: Path, tmp_path: Path) -> None:
    store = _write()
    expected = store.read([0]).positions.tobytes()
    (kept,) = (tmp_path / "cache").glob("*.arrow")
    kept.write_bytes(kept.read_bytes()[:100])
    assert open_store("elsewhere://store").read([0]).positions.tobytes() == expected
    assert remote.exists()


def test_a_store_is_made_elsewhere_and_goes_on_after_an_interrupt(remote: Path, kept_workers: KeptWorkers) -> None:
    seen: list[int] = []

    def stop(done: int, wanted: int) -> None:
        seen.append(done)
        if 0 < done < wanted:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_store("elsewhere://store", structures=100, pool=kept_workers, progress=stop)
    assert seen == [0, 80]
    assert list(remote.iterdir()) == []
    seen.clear()
    found = make_store(
        "elsewhere://store", structures=100, pool=kept_workers, progress=lambda done, wanted: seen.append(done)
    )
    assert seen == [80, 100]
    assert sorted(path.name for path in remote.parent.iterdir()) == ["store"]
    (remote.parent / "anew").mkdir()
    anew = make_store("elsewhere://anew", structures=100, pool=kept_workers)
    assert found.manifest.fingerprint == anew.manifest.fingerprint
