"""The ASE calculator of a model file: relaxations, drift of the energy in NVE, stress, and its overhead.

    python benchmarks/calculator.py model.rsm [--molecules 20] [--picoseconds 10] [--temperature 300]

Molecules are ASE's G2 set, those of the model's elements, the smallest with at least five atoms first. It prints
converged relaxations (largest force 0.05 eV/Å within 300 steps), the drift of the total energy (meV/atom, the slope of
a straight line over the run times its length, steps of 0.5 fs), the largest relative error of the stress of a crystal
against finite differences (float64), and the CPU time of a calculation beyond that of the bare network at about 20
atoms.
"""

import argparse
import time
import warnings

import numpy as np
import torch
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.fd import calculate_numerical_stress
from ase.collections import g2
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

from raysweep import load
from raysweep.trained.calculator import structure_batch
from raysweep.trained.model import LoadedModel
from raysweep.trained.neighbours import SkinList


def molecules(model: LoadedModel, count: int) -> list[Atoms]:
    """The smallest molecules of at least five atoms that the model knows."""
    known = [one for one in map(molecule, g2.names) if set(one.numbers.tolist()) <= set(model.record.elements)]
    return sorted((one for one in known if len(one) >= 5), key=len)[:count]


def relaxed(model: LoadedModel, count: int) -> list[Atoms]:
    """Relax molecules and print how many converged."""
    some, converged = molecules(model, count), 0
    for atoms in some:
        atoms.calc = model.calculator()
        converged += bool(BFGS(atoms, logfile=None).run(fmax=0.05, steps=300))
    print(f"relaxations: {converged} of {len(some)} converged")
    return some


def drift(atoms: Atoms, picoseconds: float, temperature: float) -> float:
    """Drift of the total energy in NVE, meV/atom."""
    speeds = np.sqrt(units.kB * temperature / atoms.get_masses())[:, None]
    atoms.set_velocities(np.random.default_rng(0).normal(size=(len(atoms), 3)) * speeds)
    dynamics, energies = VelocityVerlet(atoms, timestep=0.5 * units.fs), []
    dynamics.attach(lambda: energies.append(atoms.get_total_energy()), interval=10)
    dynamics.run(round(picoseconds * 2000))
    slope = np.polyfit(np.arange(len(energies)), energies, 1)[0]
    return 1000 * slope * len(energies) / len(atoms)


def stress_error(model: LoadedModel) -> float:
    """Largest error of a crystal's stress against finite differences, relative to its largest component."""
    rng = np.random.default_rng(0)
    elements = rng.choice(model.record.elements, 8)
    grid = np.stack(np.meshgrid(*[[0.0, 0.5]] * 3), axis=-1).reshape(-1, 3)
    atoms = Atoms(elements, cell=[[4.4, 0.3, 0.0], [0.4, 4.2, 0.2], [0.1, -0.4, 4.6]], pbc=True)
    atoms.set_scaled_positions(grid + rng.normal(scale=0.03, size=(8, 3)))
    atoms.calc = model.calculator(precision="float64")
    expected = calculate_numerical_stress(atoms, eps=1e-5)
    return float(np.abs(atoms.get_stress() - expected).max() / np.abs(expected).max())


def overhead(model: LoadedModel, steps: int = 300) -> tuple[int, float, float]:
    """Atoms, and milliseconds of CPU time of the bare network and of the calculator for one set of positions."""
    known = [one for one in map(molecule, g2.names) if set(one.numbers.tolist()) <= set(model.record.elements)]
    atoms = max(known, key=len)
    if len(atoms) < 20:
        other = atoms.copy()
        other.positions += [0.0, 0.0, 4.0]
        atoms = (atoms + other)[:20]
    edges = SkinList(model.record.cutoff, 0.5).edges(atoms.positions, atoms.cell.array, atoms.pbc)
    batch = structure_batch(atoms.numbers, atoms.positions, edges, model.device, model.dtype)
    atoms.calc = model.calculator()
    moves = np.random.default_rng(0).normal(scale=1e-3, size=(steps, len(atoms), 3))
    bare, whole = [], []
    for move in moves:  # in turn, so that both see the same machine
        before = time.process_time()
        with torch.no_grad():
            model.network(batch)
        bare.append(time.process_time() - before)
        atoms.positions += move
        before = time.process_time()
        atoms.get_forces()
        whole.append(time.process_time() - before)
    return len(atoms), 1000 * float(np.median(bare)), 1000 * float(np.median(whole))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--molecules", type=int, default=20)
    parser.add_argument("--picoseconds", type=float, default=10.0)
    parser.add_argument("--temperature", type=float, default=300.0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UserWarning)
    model = load(given.model)
    count, bare, whole = overhead(model)
    print(f"overhead at {count} atoms: {whole:.3f} ms against {bare:.3f} ms, {100 * (whole / bare - 1):.0f} %")
    if model.has_stress:
        print(f"stress: largest relative error {stress_error(model):.1e}")
    some = relaxed(model, given.molecules)
    drifts = [drift(atoms, given.picoseconds, given.temperature) for atoms in some[:3]]
    shown = ", ".join(f"{one:+.3f}" for one in drifts)
    print(f"NVE, {given.picoseconds:g} ps at {given.temperature:g} K: {shown} meV/atom")


if __name__ == "__main__":
    main()
