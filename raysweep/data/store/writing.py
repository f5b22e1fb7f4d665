"""Writing a store: put into the seeded order, cut into shards, measured, and written whole or not at all."""

import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from pyarrow import fs
from pydantic import JsonValue

from raysweep.core.errors import DataError
from raysweep.core.hashing import digest
from raysweep.core.io.files import open_location, read_whole, write_whole
from raysweep.data.store.manifest import MANIFEST_NAME, Manifest, Shard, manifest_bytes
from raysweep.data.store.shards import shard_buffer
from raysweep.data.store.splitting import split
from raysweep.data.store.statistics import Compositions, Fingerprint, MeanSquare, elements_of
from raysweep.data.store.store import Store, composition_energies, open_store, residuals
from raysweep.data.structures import Structures

STRUCTURES_PER_SHARD = 65_536
ATOMS_PER_SHARD = 4_000_000
"""So that a shard is at most about 100 MB, whatever the size of its structures."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where structures come from and what determined them; goes into the manifest.

    Attributes:
        source, licence, recipe, made_with, rejected: as in the manifest.
        reference_energies: eV by atomic number, of isolated atoms; those of other elements are fitted.
    """

    source: str
    licence: str
    recipe: Mapping[str, JsonValue] = field(default_factory=dict)
    made_with: Mapping[str, str] = field(default_factory=dict)
    rejected: Mapping[str, int] = field(default_factory=dict)
    reference_energies: Mapping[int, float] = field(default_factory=dict)


class Rows(Protocol):
    """Structures to draw from: in memory (`Structures`), or in files."""

    @property
    def n_atoms(self) -> npt.NDArray[np.int64]:
        """[S] atoms of each structure."""

    def take(self, rows: npt.NDArray[np.int64], /) -> Structures:
        """Return the structures at `rows`, in that order."""

    def labels(self, rows: npt.NDArray[np.int64], /) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8]]:
        """Return the energies of the structures at `rows`, and the atomic numbers of their atoms, in that order."""


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
        structures: at least two groups; `residual` is not looked at.
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


def write_rows(
    location: str | Path,
    source: Rows,
    parts: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    provenance: Provenance,
    *,
    structures_per_shard: int = STRUCTURES_PER_SHARD,
    progress: Callable[[int, int], None] | None = None,
) -> Store:
    """Write the rows of the training part, then those of the validation part, as a store.

    A shard is written, hashed and measured while the next one is drawn: two are in memory at a time.

    Args:
        location: a folder that is absent or empty, or a `pyarrow.fs` URI.
        source: what the rows are drawn from.
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
    cuts = list(_cuts(source.n_atoms[order], structures_per_shard))
    measured, shards = _Measured(train, provenance.reference_energies), list[Shard]()
    with _place(filesystem, path) as put, ThreadPoolExecutor(3) as beside:
        last = None
        for number, (start, stop) in enumerate(cuts):
            structures = source.take(order[start:stop])
            if last is not None:
                shards.append(last.shard())
                if progress:
                    progress(start, len(order))
            last = _UnderWay(f"shard-{number:05d}.arrow", structures, put, measured, beside)
        assert last is not None, "no rows"
        last.measured.result()
        measured.measure_energies(source, [order[start : min(stop, train)] for start, stop in cuts if start < train])
        shards.append(last.shard())
        if progress:
            progress(len(order), len(order))
        put(MANIFEST_NAME, manifest_bytes(measured.manifest(shards, provenance)))
    return open_store(location)


def _cuts(n_atoms: npt.NDArray[np.int64], structures_per_shard: int) -> Iterator[tuple[int, int]]:
    """Cut rows into shards by structures and by atoms."""
    total = np.cumsum(n_atoms)
    start = 0
    while start < len(n_atoms):
        seen = total[start - 1] if start else 0
        by_atoms = int(np.searchsorted(total, seen + ATOMS_PER_SHARD, side="right"))
        stop = max(min(start + structures_per_shard, by_atoms, len(n_atoms)), start + 1)
        yield start, stop
        start = stop


class _UnderWay:
    """A shard that is written, hashed and measured in three threads."""

    def __init__(
        self,
        name: str,
        structures: Structures,
        put: Callable[[str, memoryview], None],
        into: "_Measured",
        beside: ThreadPoolExecutor,
    ) -> None:
        data = shard_buffer(structures)
        self._name, self._bytes, self._structures = name, len(data), len(structures)
        self._written = beside.submit(put, name, data)
        self._sha256 = beside.submit(digest, data)
        self.measured = beside.submit(into.add, structures)

    def shard(self) -> Shard:
        """Wait until all is done."""
        self._written.result()
        self.measured.result()
        return Shard(name=self._name, sha256=self._sha256.result(), bytes=self._bytes, structures=self._structures)


class _Measured:
    """What the manifest says, summed up as shards are written. Statistics are of the training part alone."""

    def __init__(self, train: int, given: Mapping[int, float]) -> None:
        self._train, self._given = train, given
        self._structures = self._atoms = self._train_atoms = 0
        self._groups: tuple[set[str], set[str]] = (set(), set())
        self._elements: set[int] = set()
        self._fingerprint, self._compositions, self._force = Fingerprint(), Compositions(), MeanSquare()
        self._reference: dict[int, float] = {}
        self._binding: dict[int, float] = {}
        self._energy = MeanSquare()

    def add(self, structures: Structures) -> None:
        """Take in a shard."""
        self._fingerprint.add(structures)
        self._elements.update(elements_of(structures.numbers).tolist())
        head = structures.head(min(max(self._train - self._structures, 0), len(structures)))
        if len(head):
            self._compositions.add(head)
            self._force.add(head.forces)
        self._groups[0].update(head.group)
        self._groups[1].update(structures.group[len(head) :])
        self._structures += len(structures)
        self._atoms += len(structures.numbers)
        self._train_atoms += len(head.numbers)

    def measure_energies(self, source: Rows, train: list[npt.NDArray[np.int64]]) -> None:
        """Take another look at the energies of the training part, whose rows are given piece by piece."""
        self._reference = self._compositions.reference_energies(self._given)
        if self._given.keys() & self._reference.keys():
            self._binding = self._compositions.binding_energies(self._reference)
        table = composition_energies(self._reference, self._binding)
        for rows in train:
            energy, numbers = source.labels(rows)
            n_atoms = source.n_atoms[rows]
            self._energy.add(residuals(energy, numbers, n_atoms, table) / n_atoms)

    def manifest(self, shards: list[Shard], provenance: Provenance) -> Manifest:
        """Return the manifest, once all is measured."""
        rms_force = self._force.root()
        isolated = sorted(self._given.keys() & self._reference.keys())
        if not rms_force:
            raise DataError("structures: all forces are zero; give labelled structures")
        return Manifest(
            fingerprint=self._fingerprint.hexdigest(self._train, {z: self._reference[z] for z in isolated}),
            elements=tuple(sorted(self._elements)),
            structures=self._structures,
            atoms=self._atoms,
            train_structures=self._train,
            validation_structures=self._structures - self._train,
            train_atoms=self._train_atoms,
            validation_atoms=self._atoms - self._train_atoms,
            train_groups=len(self._groups[0]),
            validation_groups=len(self._groups[1]),
            reference_energies=self._reference,
            isolated_atoms=tuple(isolated),
            binding_energies=self._binding,
            rms_force=rms_force,
            rms_energy=self._energy.root(),
            rejected=dict(provenance.rejected),
            source=provenance.source,
            licence=provenance.licence,
            recipe=dict(provenance.recipe),
            made_with=dict(provenance.made_with),
            shards=tuple(shards),
        )


def standing_store(location: str | Path, recipe: Mapping[str, JsonValue]) -> Store | None:
    """Return the store that stands at the location if the same recipe made it, None where there is nothing.

    Raises:
        DataError: something else stands there, or a store of another recipe.
    """
    filesystem, path = open_location(location)
    if read_whole(filesystem, f"{path}/{MANIFEST_NAME}") is None:
        refuse_taken(filesystem, path)
        return None
    store = open_store(location)
    found = store.manifest.recipe
    differing = [key for key in {**recipe, **found} if recipe.get(key) != found.get(key)]
    if differing:
        shown = ", ".join(f"{key} is {found.get(key)!r}, asked for {recipe.get(key)!r}" for key in differing)
        raise DataError(
            f"store {location}: another recipe made it ({shown}). Choose another location, or remove that folder"
        )
    return store


def _refuse_unusable(structures: Structures) -> None:
    for name in ("positions", "forces", "energy"):
        if not np.isfinite(getattr(structures, name)).all():
            raise DataError(f"structures: {name} holds values that are not finite; leave those structures out")
    if len(structures) and int(structures.n_atoms.min()) < 1:
        raise DataError("structures: a structure has no atoms; leave it out")
    if not np.any(structures.forces):
        raise DataError("structures: all forces are zero; give labelled structures")


def refuse_taken(filesystem: fs.FileSystem, path: str) -> None:
    """Raise where a store cannot be placed at `path`.

    Raises:
        DataError: there is a file or a folder that is not empty.
    """
    info = filesystem.get_file_info(path)
    if info.type == fs.FileType.File:
        raise DataError(f"{path}: a file is in the place of the store's folder. Choose another location")
    within = filesystem.get_file_info(fs.FileSelector(path)) if info.type == fs.FileType.Directory else []
    if not isinstance(filesystem, fs.LocalFileSystem):  # what a write that was cut off left there, without a manifest
        within = [one for one in within if not one.base_name.startswith("shard-")]
    if within:
        raise DataError(f"{path}: the folder is not empty and would be overwritten. Choose another location")


@contextmanager
def _place(filesystem: fs.FileSystem, path: str) -> Iterator[Callable[[str, bytes | memoryview], None]]:
    """Yield what writes a file of a new store: into a sibling folder that is renamed in the end.

    On an object store files are put in their place, the manifest last, without which there is no store.
    """
    if not isinstance(filesystem, fs.LocalFileSystem):
        yield lambda name, data: write_whole(filesystem, f"{path}/{name}", data)
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.name}.writing-{uuid.uuid4().hex}"
    temporary.mkdir()
    try:
        yield lambda name, data: write_whole(filesystem, str(temporary / name), data)
        temporary.replace(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
