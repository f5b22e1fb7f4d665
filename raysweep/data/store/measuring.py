"""The statistics of a manifest, accumulated shard by shard as a store is written."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from raysweep.core.errors import DataError
from raysweep.data.store.manifest import Manifest, Provenance, Shard
from raysweep.data.store.statistics import Compositions, Fingerprint, MeanSquare, elements_of
from raysweep.data.store.store import composition_energies, residuals
from raysweep.data.structures import Rows, Structures


class LabelledRows(Rows, Protocol):
    """Rows whose labels can be read alone."""

    def labels(self, rows: npt.NDArray[np.int64], /) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8]]:
        """Energies of the structures at `rows`, and the atomic numbers of their atoms, in that order."""


class StoreStatistics:
    """Counts and sums over the shards of a store; all but the counts are of the training part only.

    Args:
        train: structures of the training part, which come first.
        given: eV by atomic number, reference energies that are not to be fitted.
    """

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
        """Add a shard."""
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

    def measure_energies(self, source: LabelledRows, train: list[npt.NDArray[np.int64]]) -> None:
        """Fit the reference energies, and measure the residuals of the training part, given as pieces of its rows."""
        self._reference = self._compositions.reference_energies(self._given)
        if self._given.keys() & self._reference.keys():
            self._binding = self._compositions.binding_energies(self._reference)
        table = composition_energies(self._reference, self._binding)
        for rows in train:
            energy, numbers = source.labels(rows)
            n_atoms = source.n_atoms[rows]
            self._energy.add(residuals(energy, numbers, n_atoms, table) / n_atoms)

    def manifest(self, shards: list[Shard], provenance: Provenance) -> Manifest:
        """The manifest, once all shards and the energies are measured."""
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
