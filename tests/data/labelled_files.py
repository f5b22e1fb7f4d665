"""Labelled structures, and files of them as other libraries write them."""

import json
from pathlib import Path

import ase_db_backends  # noqa: F401  (registers .aselmdb with ASE)
import numpy as np
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect

from raysweep.data.store.store import Store


def labelled(count: int = 24, *, periodic: bool = True) -> list[Atoms]:
    """Return crystals, slabs and clusters of argon and copper with Lennard-Jones energies and forces (eV, eV/Å)."""
    frames = []
    for i in range(count):
        kind = i % 3 if periodic else 2
        atoms = (
            bulk("Ar", "fcc", a=5.3, cubic=True)
            if kind == 0
            else fcc111("Cu", (2, 1, 2), vacuum=6.0)
            if kind == 1
            else Atoms("ArCuAr", np.array([[0, 0, 0], [3.6, 0, 0], [0, 3.7, 0.0]]))
        )
        atoms.rattle(0.1, seed=i)
        atoms.calc = LennardJones(sigma=3.0, epsilon=0.05, rc=6.0, smooth=True)
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = SinglePointCalculator(atoms, energy=energy - 1e4, forces=forces)
        atoms.info = {"charge": i % 3 - 1, "spin": 1 + i % 2, "data_id": f"part{i % 2}", "group": f"g{i % 8}"}
        frames.append(atoms)
    return frames


def write_aselmdb(path: Path, frames: list[Atoms]) -> None:
    with connect(str(path), type="aselmdb") as database:
        for atoms in frames:
            database.write(atoms, data=atoms.info)


def write_mptrj(path: Path, frames: list[Atoms]) -> None:
    """The layout of MPtrj_2022.9_full.json: pymatgen's dictionary of a structure, and the energies beside it."""
    content: dict[str, dict[str, object]] = {}
    for i, atoms in enumerate(frames):
        sites = [
            {
                "species": [{"element": symbol, "occu": 1}], "abc": abc.tolist(), "xyz": xyz.tolist(),
                "label": symbol, "properties": {"note": 'a "quoted \\ {text'},
            }
            for symbol, abc, xyz in zip(
                atoms.get_chemical_symbols(), atoms.get_scaled_positions(wrap=False), atoms.positions, strict=True
            )
        ]  # fmt: skip
        energy = atoms.get_potential_energy()
        content.setdefault(f"mp-{i % 5}", {})[f"mp-{i % 5}-{i}-0"] = {
            "structure": {
                "@module": "pymatgen.core.structure", "@class": "Structure", "charge": None,
                "lattice": {"matrix": atoms.cell.array.tolist(), "a": 1.0}, "sites": sites,
            },
            "uncorrected_total_energy": energy, "corrected_total_energy": energy - 3.0,
            "energy_per_atom": (energy - 3.0) / len(atoms), "force": atoms.get_forces().tolist(),
            "stress": np.zeros((3, 3)).tolist(), "magmom": None, "bandgap": 0.0, "mp_id": f"mp-{i % 5}",
        }  # fmt: skip
    path.write_text(json.dumps(content))


def stored(store: Store) -> list[tuple[object, ...]]:
    """Return each structure's bytes, sorted."""
    found = store.read(np.arange(len(store)))
    edges = found.offsets
    return sorted(
        (found.energy[i].tobytes(), found.positions[edges[i] : edges[i + 1]].tobytes(), found.group[i])
        for i in range(len(found))
    )
