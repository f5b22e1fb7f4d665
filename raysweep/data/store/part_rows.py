"""Random access to structures in several Arrow files, some of which are mapped at a time."""

from collections.abc import Sequence
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raysweep.data.keys import ENERGY, NUMBERS
from raysweep.data.store.shards import OpenShard, open_shard
from raysweep.data.store.splitting import Index, index_of_shard
from raysweep.data.structures import Structures, concatenate, ranges, with_cell

MAPPED_AT_ONCE = 128


class PartRows:
    """The first structures of some files, in order; 8 bytes of memory for each.

    Args:
        files: shards.
        counts: the number of structures to take of each file.
        with_cells: give the structures of all files a cell, where some files have none.

    Attributes:
        n_atoms: [S] int64.
    """

    def __init__(self, files: Sequence[Path], counts: Sequence[int], *, with_cells: bool = False) -> None:
        self._files, self._counts, self._with_cells = list(files), list(counts), with_cells
        self._first = np.cumsum([0, *counts])
        self._mapped = lru_cache(MAPPED_AT_ONCE)(_mapped)
        atoms = [np.diff(self._mapped(file).offsets[: n + 1]) for file, n in zip(files, counts, strict=True)]
        self.n_atoms: npt.NDArray[np.int64] = np.concatenate([np.zeros(0, np.int64), *atoms]).astype(np.int64)

    def __len__(self) -> int:
        """Return the number of structures."""
        return len(self.n_atoms)

    def take(self, rows: npt.NDArray[np.int64], /) -> Structures:
        """Return the structures at `rows`, in that order."""
        used, within, back = self._by_file(rows)
        parts = [self._mapped(self._files[i]).take(mine) for i, mine in zip(used, within, strict=True)]
        return concatenate([with_cell(part) for part in parts] if self._with_cells else parts).take(back)

    def labels(self, rows: npt.NDArray[np.int64], /) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8]]:
        """Return the energies of the structures at `rows`, and the atomic numbers of their atoms, in that order."""
        used, within, back = self._by_file(rows)
        energy, numbers, counts = [np.zeros(0)], [np.zeros(0, np.uint8)], [np.zeros(0, np.int64)]
        for i, mine in zip(used, within, strict=True):
            shard = self._mapped(self._files[i])
            counts.append(shard.counts(mine))
            energy.append(cast(npt.NDArray[np.float64], shard.arrays[ENERGY].take(mine)))
            atoms = ranges(shard.offsets[mine].astype(np.int64), counts[-1])
            numbers.append(cast(npt.NDArray[np.uint8], shard.arrays[NUMBERS].take(atoms)))
        n_atoms = np.concatenate(counts)
        atoms = ranges((np.cumsum(n_atoms) - n_atoms)[back], n_atoms[back])
        return np.concatenate(energy)[back], np.concatenate(numbers)[atoms]

    def _by_file(
        self, rows: npt.NDArray[np.int64]
    ) -> tuple[list[int], list[npt.NDArray[np.int64]], npt.NDArray[np.int64]]:
        """Group rows by file: the files, the rows within each, and the permutation back to the order of `rows`."""
        which = np.searchsorted(self._first, rows, side="right") - 1
        by_file = np.argsort(which, kind="stable")
        used, starts = np.unique(which[by_file], return_index=True)
        within = [rows[mine] - self._first[i] for i, mine in zip(used, np.split(by_file, starts[1:]), strict=True)]
        back = np.empty_like(by_file)
        back[by_file] = np.arange(len(rows))
        return used.tolist(), within, back

    def index(self, seed: int) -> Index:
        """The properties that a split depends on, read file by file."""
        files = zip(self._files, self._counts, strict=True)
        found = [index_of_shard(self._mapped(file), count, seed) for file, count in files if count]
        return Index(**{one.name: np.concatenate([getattr(i, one.name) for i in found]) for one in fields(Index)})


def _mapped(file: Path) -> OpenShard:
    return open_shard(pa.memory_map(str(file)).read_buffer())
