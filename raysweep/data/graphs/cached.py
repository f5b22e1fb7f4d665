"""Graphs of periodic structures, built once per shard and cutoff, cached next to the store and mapped by every trial.

Isolated structures have none: their edges are found faster than they could be read.
"""

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from raysweep.data.graphs.neighbours import Graphs, build_graphs, shifts_of
from raysweep.data.store.cache import cache_folder
from raysweep.data.store.manifest import Shard
from raysweep.data.store.shards import OpenShard
from raysweep.data.store.store import Store
from raysweep.data.structures import Structures, ranges

VERSION = 1
"""Raised whenever the same structures would get other edges, or the files another layout."""
BYTES_PER_EDGE = 7
LARGEST = 8 * 2**30
"""Bytes that the graphs of a subset may take on disk; RAYSWEEP_GRAPHS_GIB overrides it in GiB, 0 disables the cache."""
COVERED = 0.25
"""Share of its shards that a subset must have for building the whole shards' graphs to pay."""
_AT_ONCE = 512
_COLUMNS = {"first": "i8", "senders": "u2", "receivers": "u2", "images": "i1"}


@dataclass(frozen=True, kw_only=True)
class CachedGraphs:
    """Cached edges of rows of a store, from the files of all shards that the rows are in."""

    store: Store
    shards: dict[int, dict[str, npt.NDArray[np.generic]]]

    def __call__(self, rows: npt.NDArray[np.int64], structures: Structures) -> Graphs:
        """Return the graphs of the structures, which are those at `rows` of the store."""
        which, within = self.store.places(rows)
        starts, n_edges = np.empty(len(rows), dtype=np.int64), np.empty(len(rows), dtype=np.int64)
        used = np.unique(which)
        for shard in used:
            mine, first = which == shard, self.shards[int(shard)]["first"]
            starts[mine] = first[within[mine]]
            n_edges[mine] = first[within[mine] + 1] - starts[mine]
        total = int(n_edges.sum())
        senders, receivers = np.empty(total, dtype=np.int32), np.empty(total, dtype=np.int32)
        images = np.empty((total, 3), dtype=np.int8)
        places = np.cumsum(n_edges) - n_edges
        for shard in used:
            mine, columns = which == shard, self.shards[int(shard)]
            here, there = ranges(places[mine], n_edges[mine]), ranges(starts[mine], n_edges[mine])
            senders[here], receivers[here] = columns["senders"][there], columns["receivers"][there]
            images[here] = columns["images"].reshape(-1, 3)[there]
        shifts = shifts_of(images, structures, n_edges)
        whole = images.astype(np.int32)
        return Graphs(senders=senders, receivers=receivers, images=whole, shifts=shifts, n_edges=n_edges)


def cached_graphs(store: Store, rows: npt.NDArray[np.int64], cutoff: float) -> CachedGraphs | None:
    """Open the cached graphs of ascending rows of a store, building missing ones; None where caching does not pay.

    It pays if structures are periodic, the rows are at least a quarter of their shards, and all fits `LARGEST`.
    """
    numbers = np.unique(store.places(rows)[0])
    structures = sum(store.manifest.shards[number].structures for number in numbers)
    if len(rows) < COVERED * structures:
        return None
    sample = store.read(rows[:: max(len(rows) // 64, 1)])
    if sample.pbc is None or not sample.pbc.any():
        return None
    edges_per_structure = float(build_graphs(sample, cutoff).n_edges.mean())
    if structures * edges_per_structure * BYTES_PER_EDGE > _limit():
        return None
    shards = {}
    for number in map(int, numbers):
        columns = _columns(store, number, cutoff)
        if columns is None:
            return None
        shards[number] = columns
    return CachedGraphs(store=store, shards=shards)


def _limit() -> float:
    asked = os.environ.get("RAYSWEEP_GRAPHS_GIB")
    return float(LARGEST) if asked is None else float(asked) * 2**30


def _columns(store: Store, number: int, cutoff: float) -> dict[str, npt.NDArray[np.generic]] | None:
    """Map the edges of a shard, built by one process at a time; None if numbers exceed the files' types."""
    shard = store.manifest.shards[number]
    folder = _folder(store) / f"{shard.sha256[:32]}-{cutoff!r}-v{VERSION}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f"{folder.name}.lock"):
        columns = _mapped(folder, shard)
        if columns is None:
            shutil.rmtree(folder, ignore_errors=True)
            if not _make(folder, store.shard(number), shard, cutoff):
                return None
            columns = _mapped(folder, shard)
    assert columns is not None
    return columns


def _folder(store: Store) -> Path:
    """The folder of a store's graphs: within it, or in the machine's cache if the store is read-only."""
    if "://" not in store.location and os.access(store.location, os.W_OK):
        return Path(store.location) / "graphs"
    return cache_folder() / "graphs"


def _mapped(folder: Path, shard: Shard) -> dict[str, npt.NDArray[np.generic]] | None:
    try:
        sizes = json.loads((folder / "sizes.json").read_text())
        if any((folder / name).stat().st_size != sizes[name] for name in _COLUMNS) or not sizes["senders"]:
            return None
        columns: dict[str, npt.NDArray[np.generic]] = {
            name: np.memmap(folder / name, dtype=f"<{kind}", mode="r") for name, kind in _COLUMNS.items()
        }
    except (OSError, ValueError, KeyError):  # absent or torn: it is rebuilt
        return None
    return columns if len(columns["first"]) == shard.structures + 1 else None


def _make(folder: Path, opened: OpenShard, shard: Shard, cutoff: float) -> bool:
    """Write the edges of a whole shard, a few structures at a time; False if they exceed the files' small types."""
    temporary = folder.parent / f".making-{uuid.uuid4().hex}"
    temporary.mkdir()
    try:
        streams = {name: (temporary / name).open("wb") for name in _COLUMNS}
        total = 0
        streams["first"].write(np.zeros(1, dtype="<i8").tobytes())
        for structures, graphs in _pieces(opened, shard, cutoff):
            images = graphs.images
            if images is None or np.abs(images).max(initial=0) > 127 or structures.n_atoms.max() > 65_535:
                return False
            streams["first"].write((np.cumsum(graphs.n_edges) + total).astype("<i8").tobytes())
            total += len(graphs.senders)
            for name, values in (("senders", graphs.senders), ("receivers", graphs.receivers), ("images", images)):
                streams[name].write(values.astype(f"<{_COLUMNS[name]}").tobytes())
        for stream in streams.values():
            stream.close()
        sizes = {name: (temporary / name).stat().st_size for name in _COLUMNS}
        (temporary / "sizes.json").write_text(json.dumps(sizes))
        temporary.replace(folder)
        return total > 0
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _pieces(opened: OpenShard, shard: Shard, cutoff: float) -> Iterator[tuple[Structures, Graphs]]:
    for start in range(0, shard.structures, _AT_ONCE):
        structures = opened.take(np.arange(start, min(start + _AT_ONCE, shard.structures)))
        yield structures, build_graphs(structures, cutoff)
