"""Symmetry and forces of every family in float64: `python benchmarks/symmetry.py [--store runs/quickstart/data]`.

On real structures: the largest relative change of energies and forces under random rotations, reflections, translations
and permutations of the atoms (at most 1e-10 is wanted, and more than 1e-3 under rotation of mpnn), and conservative
forces against fourth-order finite differences of the energy (at most 1e-6).
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from raysweep.data.generation.xtb import make_store
from raysweep.data.graphs.batches import load_graphs
from raysweep.data.store.store import open_store
from raysweep.models.registry import create
from raysweep.training.build import dataset_info

FAMILIES = {
    "mpnn": ("mpnn", {}),
    "egnn": ("egnn", {}),
    "gemnet 3-body": ("gemnet", {"body_order": 3}),
    "gemnet 4-body": ("gemnet", {"body_order": 4}),
    **{f"tensor l={l}": ("tensor", {"l_max": l}) for l in (1, 2, 3, 4)},
    **{f"tensor l={l} {c}": ("tensor", {"l_max": l, "convolution": c}) for c in ("so2", "cg") for l in (1, 2, 3, 4)},
    "tensor l=2 nu=3": ("tensor", {"l_max": 2, "correlation": 3}),
    "hybrid": ("hybrid", {"layers": "invariant tensor", "l_max": 2}),
    "schnet": ("schnet", {}),
    "dimenetpp": ("dimenetpp", {}),
    "visnet": ("visnet", {}),
}
STEP = 1e-4


def moved(batch, matrix, shift=0.0):
    """Return a batch turned by a matrix and shifted by so many Å along each axis."""
    return replace(batch, positions=batch.positions @ matrix.T + shift)


def shuffled(batch, generator):
    """Return a batch with the atoms of each structure in another order, and the order."""
    keys = batch.structure.numpy() + generator.random(len(batch.numbers))
    order = torch.from_numpy(np.argsort(keys))
    place = torch.argsort(order)
    receivers, senders = place[batch.receivers], place[batch.senders]
    sort = torch.argsort(receivers, stable=True)
    return order, replace(
        batch,
        numbers=batch.numbers[order],
        positions=batch.positions[order],
        receivers=receivers[sort],
        senders=senders[sort],
    )


def relative(found, wanted):
    """Return the largest difference over the largest value."""
    return float((found - wanted).detach().abs().max() / wanted.detach().abs().max())


def finite_differences(model, batch, forces):
    """Return the largest difference of some forces from the slopes of the energy, over the largest force."""
    worst = 0.0
    for atom, axis in ((0, 0), (3, 1), (len(batch.numbers) - 1, 2)):
        energies = []
        for step in (-2 * STEP, -STEP, STEP, 2 * STEP):
            positions = batch.positions.clone()
            positions[atom, axis] += step
            energies.append(float(model(replace(batch, positions=positions)).energy.sum()))
        slope = (energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / (12 * STEP)
        worst = max(worst, abs(float(forces[atom, axis]) + slope))
    return worst / float(forces.abs().max())


def main() -> None:
    """Print a line for each network and force mode."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", default="runs/quickstart/data")
    parser.add_argument("--width", type=int, default=8)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not Path(arguments.store).exists():
        make_store(Path(arguments.store), structures=500)
    store, generator = open_store(arguments.store), np.random.default_rng(0)
    graphs = load_graphs(store, store.subset(6), 5.0)
    batch = graphs.batch(np.arange(6)).to(torch.device("cpu"), torch.float64)
    unit = torch.eye(3, dtype=torch.float64)
    turns = [torch.from_numpy(m) for m in Rotation.random(3, random_state=1).as_matrix()]
    print(f"{'network':18s} {'forces':12s} rotation reflection translation permutation finite differences")
    for label, (architecture, knobs) in FAMILIES.items():
        for forces in ("direct", "conservative"):
            size = {"width": arguments.width, **knobs}
            model = create(architecture, size, forces, dataset_info(store), 0, torch.float64).eval()
            before = model(batch)
            errors = []
            for matrices in (turns, [-turn for turn in turns]):
                after = [(matrix, model(moved(batch, matrix))) for matrix in matrices]
                errors.append(max(relative(a.energy, before.energy) for _, a in after))
                errors[-1] = max(errors[-1], *(relative(a.forces, before.forces @ m.T) for m, a in after))
            after = model(moved(batch, unit, 7.3))
            errors.append(max(relative(after.energy, before.energy), relative(after.forces, before.forces)))
            order, other = shuffled(batch, generator)
            after = model(other)
            errors.append(max(relative(after.energy, before.energy), relative(after.forces, before.forces[order])))
            text = "        ".join(f"{error:.0e}" for error in errors)
            if forces == "conservative":
                text += f"        {finite_differences(model, batch, before.forces):.0e}"
            print(f"{label:18s} {forces:12s} {text}", flush=True)


if __name__ == "__main__":
    main()
