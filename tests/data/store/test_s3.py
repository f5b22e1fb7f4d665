"""Stores on S3, against a real server on loopback: what is fetched, how often, and what happens when it is damaged."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from invented import invent
from labelled_files import labelled, stored, write_aselmdb
from pyarrow import fs
from s3_server import BUCKET, Counted, s3_server

from raysweep.core.errors import DataError
from raysweep.data.importing.imports import import_store
from raysweep.data.inspection.exporting import export_store
from raysweep.data.store.manifest import Provenance
from raysweep.data.store.store import Store, open_store
from raysweep.data.store.writing import write_store

PLACE = f"s3://{BUCKET}/stores/invented"
READ = (
    "import sys, numpy as np\nfrom raysweep.data.store.store import open_store\n"
    "store = open_store(sys.argv[1])\nprint(store.read(np.arange(len(store))).positions.sum())\n"
)


@pytest.fixture(scope="module")
def server() -> Iterator[Counted]:
    with s3_server() as counted:
        yield counted


@pytest.fixture(scope="module")
def remote(server: Counted) -> Store:
    return write_store(
        PLACE, invent(400, groups=40), Provenance(source="invented", licence="none"),
        validation_fraction=0.25, seed=0, structures_per_shard=100,
    )  # fmt: skip


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAYSWEEP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_opening_fetches_the_manifest_alone(remote: Store, server: Counted, cache: Path) -> None:
    server.given.clear()
    store = open_store(PLACE)
    assert store.manifest == remote.manifest
    assert server.of(".arrow") == 0
    assert server.of("manifest.json") > 0


def test_a_shard_is_fetched_once_a_node_whatever_the_number_of_processes(
    remote: Store, server: Counted, cache: Path
) -> None:
    server.given.clear()
    few = open_store(PLACE).read(np.arange(10))
    assert server.of(".arrow") == remote.manifest.shards[0].bytes
    command = [sys.executable, "-c", READ, PLACE]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    sums = {process.communicate()[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(sums) == 1
    assert server.of(".arrow") == sum(shard.bytes for shard in remote.manifest.shards)
    again = open_store(PLACE).read(np.arange(400))
    assert again.positions[: len(few.positions)].tobytes() == few.positions.tobytes()
    assert server.of(".arrow") == sum(shard.bytes for shard in remote.manifest.shards)


def test_an_altered_object_is_found_by_check_and_never_used(remote: Store, cache: Path) -> None:
    bucket = fs.FileSystem.from_uri(PLACE)[0]
    name = f"{BUCKET}/stores/invented/{remote.manifest.shards[2].name}"
    whole = bucket.open_input_stream(name).read()
    with bucket.open_output_stream(name) as stream:
        stream.write(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    try:
        with pytest.raises(DataError, match=r"shard-00002.arrow is altered"):
            open_store(PLACE).check()
        with pytest.raises(DataError, match=r"shard-00002.arrow: the fetched file is torn or altered"):
            open_store(PLACE).read([250])
        assert not list(cache.glob("*.arrow"))
    finally:
        with bucket.open_output_stream(name) as stream:
            stream.write(whole)
    open_store(PLACE).check()


def test_files_are_imported_into_a_bucket_and_exported_to_it(server: Counted, cache: Path, tmp_path: Path) -> None:
    write_aselmdb(tmp_path / "a.aselmdb", labelled(30))
    here = import_store(tmp_path / "here", [tmp_path / "a.aselmdb"])
    place = f"s3://{BUCKET}/stores/imported"
    with fs.FileSystem.from_uri(place)[0].open_output_stream(f"{BUCKET}/stores/imported/shard-00000.arrow") as stream:
        stream.write(b"what a write that was cut off left there")
    there = import_store(place, [tmp_path / "a.aselmdb"])
    assert there.manifest.fingerprint == here.manifest.fingerprint
    assert stored(open_store(place)) == stored(here)
    assert import_store(place, [tmp_path / "a.aselmdb"]).manifest == there.manifest
    with pytest.raises(DataError, match="another recipe made it"):
        import_store(place, [tmp_path / "a.aselmdb"], seed=1)
    export_store(here, f"s3://{BUCKET}/out.parquet")
    with pytest.raises(DataError, match="already exists"):
        export_store(here, f"s3://{BUCKET}/out.parquet")


SPACE = """
name: s3
storage: s3://{bucket}/sweep
data: {{store: "s3://{bucket}/data", make: {{structures: 150, seed: 0}}, validation_structures: 10}}
families:
  mpnn: {{architecture: mpnn, fixed: {{depth: 1}}, sizes: {{width: [4, 8]}}, base: {{width: 4}}}}
grid: {{structures: [40, 80], seeds: [0]}}
learning_rate: {{rates: {{mpnn: 0.01}}}}
tracking: {{uri: "sqlite:///{folder}/mlflow.db"}}
"""


@pytest.mark.slow
def test_a_sweep_whose_data_and_storage_are_both_in_a_bucket(server: Counted, cache: Path, tmp_path: Path) -> None:
    """Workers fetch each shard once a node; a second run trains nothing and fetches nothing."""
    space = tmp_path / "space.yaml"
    space.write_text(SPACE.format(bucket=BUCKET, folder=tmp_path))
    command = [str(Path(sys.executable).parent / "raysweep"), "run", str(space)]
    server.given.clear()
    first = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    store = open_store(f"s3://{BUCKET}/data")
    assert server.of("/data/shard-00000.arrow") == store.manifest.shards[0].bytes
    assert any("/sweep/" in path for path in server.taken)
    before = sum(server.taken[path] for path in server.taken if "checkpoint" in path)
    second = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert server.of("/data/shard-00000.arrow") == store.manifest.shards[0].bytes
    assert sum(server.taken[path] for path in server.taken if "checkpoint" in path) == before
    status = [str(Path(sys.executable).parent / "raysweep"), "status", str(space), "--json"]
    found = json.loads(subprocess.run(status, capture_output=True, text=True, cwd=tmp_path, check=True).stdout)
    assert "failed" not in {state for state, count in found.get("trials", {}).items() if count}
