"""Structures in several Arrow files as rows to draw from, mapped only while they are read."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raysweep.data.shards import OpenShard, open_shard
from raysweep.data.splitting import Index, index_of
from raysweep.data.structures import Structures, concatenate


class PartRows:
    """The first structures of some files in their order; 8 bytes of memory for each.

    Attributes:
        n_atoms: [S] int64.
    """

    def __init__(self, files: Sequence[Path], counts: Sequence[int]) -> None:
        self._files = list(files)
        self._first = np.cumsum([0, *counts])
        atoms = [np.diff(_mapped(file).offsets[: n + 1]) for file, n in zip(files, counts, strict=True)]
        self.n_atoms: npt.NDArray[np.int64] = np.concatenate([np.zeros(0, np.int64), *atoms]).astype(np.int64)

    def take(self, rows: npt.NDArray[np.int64], /) -> Structures:
        """Return the structures at `rows`, in that order."""
        which = np.searchsorted(self._first, rows, side="right") - 1
        by_file = np.argsort(which, kind="stable")
        used, starts = np.unique(which[by_file], return_index=True)
        parts = [
            _mapped(self._files[i]).take(rows[mine] - self._first[i])
            for i, mine in zip(used, np.split(by_file, starts[1:]), strict=True)
        ]
        back = np.empty_like(by_file)
        back[by_file] = np.arange(len(rows))
        return concatenate(parts).take(back)

    def index(self, seed: int) -> Index:
        """Return what the split looks at, read file by file."""
        bounds = zip(self._first[:-1].tolist(), self._first[1:].tolist(), strict=True)
        found = [index_of(self.take(np.arange(start, stop)), seed) for start, stop in bounds if stop > start]
        return Index(**{one.name: np.concatenate([getattr(i, one.name) for i in found]) for one in fields(Index)})


def _mapped(file: Path) -> OpenShard:
    return open_shard(pa.memory_map(str(file)).read_buffer())
