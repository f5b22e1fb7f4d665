"""Writing of a store: structures in their seeded order, divided into shards and measured; whole or not at all."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from raysweep.core.errors import DataError
from raysweep.core.hashing import digest
from raysweep.core.io.files import open_location
from raysweep.data.store.destination import new_store, refuse_taken
from raysweep.data.store.manifest import MANIFEST_NAME, Provenance, Shard, manifest_bytes
from raysweep.data.store.measuring import LabelledRows, StoreStatistics
from raysweep.data.store.part_rows import PartRows
from raysweep.data.store.shards import shard_buffer
from raysweep.data.store.splitting import Split, split, split_index
from raysweep.data.store.store import Store, open_store
from raysweep.data.structures import Structures

STRUCTURES_PER_SHARD = 65_536
ATOMS_PER_SHARD = 4_000_000
"""Keeps a shard below about 100 MB, whatever the size of its structures."""


def write_store(
    location: str | Path,
    structures: Structures,
    provenance: Provenance,
    *,
    validation_fraction: float,
    seed: int,
    structures_per_shard: int = STRUCTURES_PER_SHARD,
) -> Store:
    """Split structures in memory by group, shuffle each part by the seed, and write them as a store.

    Args:
        location: a folder that is absent or empty, or a `pyarrow.fs` URI.
        structures: at least two groups; `residual` is ignored.
        provenance: goes into the manifest.
        validation_fraction: share of the groups that is held out, above 0 and below 1.
        seed: of the split and of the two orders.
        structures_per_shard: how many structures one file holds.

    Raises:
        DataError: the location is taken, values are not finite, or the groups cannot be split.
    """
    refuse_taken(*open_location(location))
    _refuse_unusable(structures)
    parts = split(structures, validation_fraction, seed)
    return write_rows(location, structures, parts, provenance, structures_per_shard=structures_per_shard)


def write_parts(
    location: str | Path,
    parts: PartRows,
    how: Split,
    provenance: Provenance,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Store:
    """Split structures in files by group, shuffle each part by the seed, and write them as a store.

    Args:
        location: a folder that is absent or empty, or a `pyarrow.fs` URI.
        parts: the structures.
        how: the split, and the seed of the two orders.
        provenance: goes into the manifest.
        progress: called as `progress(structures_so_far, of_how_many)`.

    Raises:
        DataError: the location is taken, the groups cannot be split, or all forces are zero.
    """
    return write_rows(location, parts, split_index(parts.index(how.seed), how), provenance, progress=progress)


def write_rows(
    location: str | Path,
    source: LabelledRows,
    parts: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    provenance: Provenance,
    *,
    structures_per_shard: int = STRUCTURES_PER_SHARD,
    progress: Callable[[int, int], None] | None = None,
) -> Store:
    """Write the rows of the training part, then those of the validation part, as a store.

    A shard is written, hashed and measured while the next one is read: two are in memory at a time.

    Args:
        location: a folder that is absent or empty, or a `pyarrow.fs` URI.
        source: the structures.
        parts: rows of the two parts, each in its order.
        provenance: goes into the manifest.
        structures_per_shard: how many structures one file holds at most; large structures fill a file sooner.
        progress: called as `progress(structures_so_far, of_how_many)`.

    Raises:
        DataError: the location is taken, or all forces are zero.
    """
    filesystem, path = open_location(location)
    refuse_taken(filesystem, path)
    order, train = np.concatenate(parts), len(parts[0])
    bounds = list(_shard_bounds(source.n_atoms[order], structures_per_shard))
    statistics, shards = StoreStatistics(train, provenance.reference_energies), list[Shard]()
    report = progress or (lambda done, total: None)
    with new_store(filesystem, path) as put, ThreadPoolExecutor(3) as threads:
        pending = None
        for number, (start, stop) in enumerate(bounds):
            structures = source.take(order[start:stop])
            if pending is not None:
                shards.append(pending.finish())
                report(start, len(order))
            pending = _PendingShard(f"shard-{number:05d}.arrow", structures, put, statistics, threads)
        assert pending is not None, "no rows"
        pending.measured.result()
        statistics.measure_energies(source, [order[a : min(b, train)] for a, b in bounds if a < train])
        shards.append(pending.finish())
        report(len(order), len(order))
        put(MANIFEST_NAME, manifest_bytes(statistics.manifest(shards, provenance)))
    return open_store(location)


def _shard_bounds(n_atoms: npt.NDArray[np.int64], structures_per_shard: int) -> Iterator[tuple[int, int]]:
    """Yield the first row of each shard and the one after its last, by structures and by atoms."""
    total = np.cumsum(n_atoms)
    start = 0
    while start < len(n_atoms):
        seen = total[start - 1] if start else 0
        by_atoms = int(np.searchsorted(total, seen + ATOMS_PER_SHARD, side="right"))
        stop = max(min(start + structures_per_shard, by_atoms, len(n_atoms)), start + 1)
        yield start, stop
        start = stop


class _PendingShard:
    """A shard that three threads write, hash and measure."""

    def __init__(
        self,
        name: str,
        structures: Structures,
        put: Callable[[str, memoryview], None],
        statistics: StoreStatistics,
        threads: ThreadPoolExecutor,
    ) -> None:
        data = shard_buffer(structures)
        self._name, self._bytes, self._structures = name, len(data), len(structures)
        self._written = threads.submit(put, name, data)
        self._sha256 = threads.submit(digest, data)
        self.measured = threads.submit(statistics.add, structures)

    def finish(self) -> Shard:
        """Wait for the threads and describe the shard."""
        self._written.result()
        self.measured.result()
        return Shard(name=self._name, sha256=self._sha256.result(), bytes=self._bytes, structures=self._structures)


def _refuse_unusable(structures: Structures) -> None:
    for name in ("positions", "forces", "energy"):
        if not np.isfinite(getattr(structures, name)).all():
            raise DataError(f"structures: {name} holds values that are not finite; leave those structures out")
    if len(structures) and int(structures.n_atoms.min()) < 1:
        raise DataError("structures: a structure has no atoms; leave it out")
    if not np.any(structures.forces):
        raise DataError("structures: all forces are zero; give labelled structures")
