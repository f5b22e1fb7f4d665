"""A store: a folder of Arrow shards with a manifest, opened without reading the structures and read at random.

Rows are in the order of the subsets: row 0 is the first training structure of the one seeded order, and the
validation rows come after the last training row. So a subset is a range, and subsets are nested by construction.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import fs
from pydantic import JsonValue

from raysweep.core.errors import DataError
from raysweep.core.io.files import digest_file, open_location
from raysweep.data.store.cache import cached
from raysweep.data.store.manifest import Manifest, Shard, read_manifest
from raysweep.data.store.shards import OpenShard, open_shard
from raysweep.data.structures import Structures, concatenate

__all__ = ["Manifest", "Store", "Structures", "open_store"]


class Store:
    """An open store. Shards are mapped when first read, those of a URI from a cache on this machine's disk (cache.py).

    Trials on one machine share the mapped pages.
    """

    def __init__(self, location: str, filesystem: fs.FileSystem, path: str, manifest: Manifest) -> None:
        self.location = location
        self.manifest = manifest
        self._filesystem = filesystem
        self._path = path
        self._open: dict[int, OpenShard] = {}
        self._first_rows = np.cumsum([0] + [shard.structures for shard in manifest.shards])
        self._reference = composition_energies(manifest.reference_energies, manifest.binding_energies)

    def __len__(self) -> int:
        """The number of structures, training and validation together."""
        return self.manifest.structures

    def subset_of_atoms(self, atoms: int) -> npt.NDArray[np.int64]:
        """Rows of the fewest first training structures with at least `atoms` atoms in total; nested, as subset.

        Raises:
            DataError: `atoms` is below 1 or above the number of atoms of the training structures.
        """
        have = self.manifest.train_atoms
        if not 1 <= atoms <= have:
            raise DataError(
                f"store {self.location}: a subset of {atoms} atoms was asked for, it has {have} to train on"
            )
        seen = number = 0
        while seen + (of_shard := int(self.shard(number).offsets[-1])) < atoms:
            seen, number = seen + of_shard, number + 1
        within = int(np.searchsorted(self.shard(number).offsets, atoms - seen, side="left"))
        return self.subset(int(self._first_rows[number]) + within)

    def subset(self, n: int) -> npt.NDArray[np.int64]:
        """Rows of the first n training structures in the one seeded order, so that subsets are nested.

        Raises:
            DataError: n is below 1 or above the number of training structures.
        """
        have = self.manifest.train_structures
        if not 1 <= n <= have:
            raise DataError(
                f"store {self.location}: a subset of {n} structures was asked for, it has {have} to train on"
            )
        return np.arange(n, dtype=np.int64)

    def validation(self, n: int | None = None) -> npt.NDArray[np.int64]:
        """Rows of the first n validation structures (all by default) in their one seeded order.

        Raises:
            DataError: n is below 1 or above the number of validation structures.
        """
        have, first = self.manifest.validation_structures, self.manifest.train_structures
        wanted = have if n is None else n
        if not 1 <= wanted <= have:
            raise DataError(f"store {self.location}: {wanted} validation structures were asked for, it has {have}")
        return np.arange(first, first + wanted, dtype=np.int64)

    def n_atoms(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Numbers of atoms [S] int64 of the structures at ascending `rows`; nothing else of them is read."""
        cuts = np.searchsorted(rows, self._first_rows)
        parts = [
            self.shard(s).counts(rows[start:stop] - self._first_rows[s])
            for s, (start, stop) in enumerate(pairwise(cuts))
            if stop > start
        ]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

    def read(self, indices: npt.ArrayLike) -> Structures:
        """Read the structures at the row indices, in that order, with `residual` filled in.

        Raises:
            DataError: an index is outside the store, or a shard is absent or torn.
        """
        rows = np.asarray(indices, dtype=np.int64).reshape(-1)
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self)):
            raise DataError(
                f"store {self.location}: rows {rows.min()} to {rows.max()} were asked for, it has 0 to {len(self) - 1}"
            )
        which, within = self.places(rows)
        used = np.unique(which)
        parts = [self.shard(int(s)).take(within[which == s]) for s in used]
        picked = concatenate(parts)
        if len(used) > 1:  # the parts are shard by shard: restore the requested order
            by_shard = np.argsort(which, kind="stable")
            back = np.empty_like(by_shard)
            back[by_shard] = np.arange(len(rows))
            picked = picked.take(back)
        residual = residuals(picked.energy, picked.numbers, picked.n_atoms, self._reference)
        return replace(picked, residual=residual)

    def check(self) -> None:
        """Read every shard and compare it with its digest.

        Raises:
            DataError: shards are absent, torn or altered; all of them are named.
        """
        bad: list[str] = []
        for shard in self.manifest.shards:
            found = digest_file(self._filesystem, f"{self._path}/{shard.name}")
            if found is None:
                bad.append(f"{shard.name} is missing")
            elif found[1] != shard.bytes:
                bad.append(f"{shard.name} is torn ({found[1]} of {shard.bytes} bytes)")
            elif found[0] != shard.sha256:
                bad.append(f"{shard.name} is altered (its SHA-256 is not that of the manifest)")
        if bad:
            raise DataError(
                f"store {self.location}: {'; '.join(bad)}. Copy it again from an intact store, or remove and remake it"
            )

    def info(self) -> dict[str, JsonValue]:
        """The manifest as JSON values, with location and mean number of atoms, without the list of shards."""
        manifest = self.manifest
        content: dict[str, JsonValue] = manifest.model_dump(mode="json", exclude={"shards"})
        return {"location": self.location, "mean_atoms": manifest.atoms / manifest.structures, **content}

    def places(self, rows: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The number of each row's shard, and the row within it."""
        which = np.searchsorted(self._first_rows, rows, side="right") - 1
        return which, rows - self._first_rows[which]

    def shard(self, number: int) -> OpenShard:
        """A shard, mapped on its first use.

        Raises:
            DataError: it is absent or torn.
        """
        if number not in self._open:
            shard = self.manifest.shards[number]
            try:
                self._open[number] = open_shard(self._buffer(shard))
            except (pa.ArrowInvalid, KeyError, OSError) as error:
                raise DataError(
                    f"store {self.location}: shard {shard.name} cannot be read ({error}). "
                    "`raysweep data check` names every such shard; copy it again or remake the store"
                ) from error
        return self._open[number]

    def _buffer(self, shard: Shard) -> pa.Buffer:
        path = f"{self._path}/{shard.name}"
        if isinstance(self._filesystem, fs.LocalFileSystem):
            mapped = pa.memory_map(path)
            if mapped.size() != shard.bytes:
                raise OSError(f"{mapped.size()} bytes instead of {shard.bytes}")
            return mapped.read_buffer()
        return cached(shard, self._filesystem, path)


def open_store(location: str | Path) -> Store:
    """Open the store at a local path or a `pyarrow.fs` URI; only its manifest is read.

    Raises:
        DataError: there is no store, or its manifest is torn, altered or of another version.
    """
    filesystem, path = open_location(location)
    return Store(str(location), filesystem, path, read_manifest(filesystem, path))


def composition_energies(reference: Mapping[int, float], binding: Mapping[int, float]) -> npt.NDArray[np.float64]:
    """The contribution of an atom to the energy by composition, [256] eV by atomic number."""
    table = np.full(256, np.nan)
    for z, energy in reference.items():
        table[z] = energy + binding.get(z, 0.0)
    return table


def residuals(
    energy: npt.NDArray[np.float64],
    numbers: npt.NDArray[np.uint8],
    n_atoms: npt.NDArray[np.int64],
    reference: npt.NDArray[np.float64],
) -> npt.NDArray[np.float32]:
    """Energies less the energies by composition, [S] float32, eV.

    Args:
        energy: [S] eV.
        numbers: [A] atomic numbers.
        n_atoms: [S].
        reference: [256] eV by atomic number, see `composition_energies`.
    """
    owner = np.repeat(np.arange(len(energy)), n_atoms)
    atoms = np.bincount(owner, weights=reference[numbers], minlength=len(energy))
    return (energy - atoms).astype(np.float32)
