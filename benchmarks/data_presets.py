"""What the presets of the embedded source hold: `python benchmarks/data_presets.py [--picture FILE]`.

Makes a store of each preset and measures it: sizes, elements, charges, edges, energies, forces, what was left out, and
the time. Prints one JSON object; `--picture` also draws the distributions.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from raysweep.data.generation.presets import PRESETS
from raysweep.data.generation.xtb import make_store
from raysweep.data.graphs.neighbours import build_graphs
from raysweep.data.store.store import Store
from raysweep.data.structures import Structures

CUTOFF = 5.0
"""Å, of the edges: the architectures' default."""


def main() -> None:
    """Print one JSON object with an entry for each preset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--structures", type=int, default=1000)
    parser.add_argument("--presets", nargs="+", default=list(PRESETS))
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    figures, read = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.presets:
            began, before = time.perf_counter(), os.times()
            store = make_store(Path(folder) / name, structures=arguments.structures, preset=name)
            after = os.times()
            read[name] = store.read(np.arange(len(store)))
            cpu = sum(after[:4]) - sum(before[:4])
            seconds = {"seconds": round(time.perf_counter() - began, 1), "cpu_seconds": round(cpu, 1)}
            figures[name] = {**describe(store, read[name]), **seconds}
    print(json.dumps(figures))
    if arguments.picture:
        draw(read, arguments.picture)


def describe(store: Store, structures: Structures) -> dict[str, object]:
    """Return the figures of one store."""
    manifest = store.manifest
    forces = np.linalg.norm(structures.forces, axis=1)
    residual = structures.residual / structures.n_atoms
    charge = np.zeros(len(structures), dtype=np.int8) if structures.charge is None else structures.charge
    elements, counts = np.unique(structures.numbers, return_counts=True)
    return {
        "molecules": manifest.train_groups + manifest.validation_groups,
        "mean_atoms": round(float(structures.n_atoms.mean()), 2),
        "atoms_from_to": [int(structures.n_atoms.min()), int(structures.n_atoms.max())],
        "elements": {int(z): round(int(n) / len(structures.numbers), 4) for z, n in zip(elements, counts, strict=True)},
        "edges_per_atom": round(len(build_graphs(structures, CUTOFF).senders) / len(structures.numbers), 2),
        "rms_energy_ev_per_atom": round(manifest.rms_energy, 4),
        "residual_ev_per_atom_by_charge": {
            int(q): round(float(residual[charge == q].mean()), 3) for q in np.unique(charge)
        },
        "rms_force_component_ev_per_a": round(manifest.rms_force, 3),
        "force_ev_per_a": {p: round(float(np.percentile(forces, p)), 2) for p in (50, 99, 100)},
        "charges": {int(q): int((charge == q).sum()) for q in np.unique(charge)},
        "left_out": manifest.rejected,
    }  # fmt: skip


def draw(read: dict[str, Structures], picture: Path) -> None:
    """Draw sizes, residuals, forces and distances of each preset."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(4, len(read), figsize=(4 * len(read), 13), squeeze=False, layout="constrained")
    for column, (name, structures) in zip(axes.T, read.items(), strict=True):
        charge = np.zeros(len(structures)) if structures.charge is None else structures.charge
        column[0].hist(structures.n_atoms, bins=np.arange(structures.n_atoms.max() + 2) - 0.5)
        column[0].set(title=name, xlabel="atoms")
        for q in np.unique(charge):
            column[1].hist((structures.residual / structures.n_atoms)[charge == q], bins=60, alpha=0.6, label=f"{q:+g}")
        column[1].set(xlabel="residual, eV/atom, by charge")
        column[1].legend()
        column[2].hist(np.linalg.norm(structures.forces, axis=1), bins=100, log=True)
        column[2].set(xlabel="force on an atom, eV/Å")
        column[3].hist(np.concatenate(list(distances(structures))), bins=200)
        column[3].set(xlabel="distances up to 4 Å")
    figure.savefig(picture, dpi=60)


def distances(structures: Structures) -> Iterator[np.ndarray]:
    """Yield the distances up to 4 Å within each structure."""
    for start, stop in zip(structures.offsets[:-1], structures.offsets[1:], strict=True):
        positions = structures.positions[start:stop].astype(float)
        found = np.linalg.norm(positions[:, None] - positions, axis=2)[np.triu_indices(stop - start, 1)]
        yield found[found < 4]


if __name__ == "__main__":
    main()
