"""Thermal motion of one molecule: independent oscillators, and dynamics under a force field."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from raysweep.data.generation.molecules.conformers import Conformers, Vectors
from raysweep.data.generation.presets import Displacing
from raysweep.data.physics import ATOMIC_MASS, BOLTZMANN, ELEMENTARY_CHARGE, LIGHT_SPEED_CM, MASSES

Numbers = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.float32]
Ensemble = tuple[Numbers, Positions]
"""Numbers [n] and positions [m, n, 3] in Å of m structures of the same atoms."""

COLD = (50.0, 300.0)
"""K: of the thermal motion superimposed on scans, stretches and pairs."""
MD_TEMPERATURES = (300.0, 1500.0)
"""K: of dynamics."""
MD_STEP_FS = 1.0
MD_FRICTION = 1 / 50.0
"""1/fs: strong, since frames should decorrelate soon and the dynamics themselves do not matter."""
MD_STEPS_BEFORE, MD_STEPS_BETWEEN = 150, 40
_ACCELERATION = ELEMENTARY_CHARGE / ATOMIC_MASS * 1e-10
"""Å/fs² of one eV/Å on one u: e / (1e-10 m) / u in m/s², which is 1e-20 Å/fs²."""
_BOLTZMANN_EV = BOLTZMANN / ELEMENTARY_CHARGE


def thermal(molecule: Conformers, count: int, displacing: Displacing, rng: np.random.Generator) -> Ensemble:
    """Displace conformers one after another, each at its own temperature."""
    bases = molecule.positions
    moved = [
        displace(
            molecule.numbers,
            bases[i % len(bases)],
            rng.uniform(*displacing.temperatures),
            displacing.wavenumber,
            rng,
        )
        for i in range(count)
    ]
    return molecule.numbers, np.stack(moved)


def displace(
    numbers: Numbers, positions: Vectors, temperature: float, wavenumber: float, rng: np.random.Generator
) -> Positions:
    """Displace positions thermally in the Einstein picture: [n, 3] float32, Å.

    Each atom is a classical harmonic oscillator of angular frequency w = 2 pi c * wavenumber; equipartition gives
    each of its coordinates a Gaussian displacement with standard deviation sqrt(k T / m) / w. At 550 K and 2000/cm
    that is 0.057 Å for H and 0.016 Å for C. Atoms move independently, which real vibrations do not.
    """
    masses = masses_of(numbers) * ATOMIC_MASS
    angular_frequency = 2 * np.pi * LIGHT_SPEED_CM * wavenumber
    deviation = np.sqrt(BOLTZMANN * temperature / masses) / angular_frequency * 1e10  # m to Å
    moved: Positions = (positions + deviation[:, None] * rng.normal(size=positions.shape)).astype(np.float32)
    return moved


def dynamics(molecule: Conformers, count: int, displacing: Displacing, rng: np.random.Generator) -> Ensemble:
    """Run Langevin dynamics (BAOAB, Leimkuhler and Matthews 2013, 10.1093/amrx/abs010) of one conformer.

    The force field's own gradient drives them; frames are MD_STEPS_BETWEEN steps apart.
    """
    base = molecule.positions[int(rng.integers(len(molecule.positions)))]
    frames = langevin(
        molecule.force_field(), base, masses_of(molecule.numbers), rng.uniform(*MD_TEMPERATURES), count, rng
    )
    return molecule.numbers, frames.astype(np.float32)


def langevin(
    gradient: Callable[[Vectors], Vectors],
    positions: Vectors,
    masses: npt.NDArray[np.float64],
    temperature: float,
    count: int,
    rng: np.random.Generator,
    *,
    before: int = MD_STEPS_BEFORE,
    between: int = MD_STEPS_BETWEEN,
) -> Vectors:
    """Run Langevin dynamics at a temperature in K, velocities drawn at it: frames [count, n, 3], Å.

    Args:
        gradient: of the energy, eV/Å.
        positions: [n, 3] Å, of the start.
        masses: [n] u.
        temperature: K.
        count: frames.
        rng: of velocities and noise.
        before: steps before the first frame.
        between: steps from frame to frame.
    """
    push = -0.5 * MD_STEP_FS * _ACCELERATION / masses[:, None]
    spread = np.sqrt(_BOLTZMANN_EV * temperature * _ACCELERATION / masses)[:, None]  # Å/fs
    keep = np.exp(-MD_FRICTION * MD_STEP_FS)
    noise = np.sqrt(1 - keep**2) * spread
    here, velocity = positions.copy(), spread * rng.normal(size=positions.shape)
    slope = gradient(here)
    frames = []
    for step in range(1, before + between * (count - 1) + 1):
        velocity = velocity + push * slope
        here = here + 0.5 * MD_STEP_FS * velocity
        velocity = keep * velocity + noise * rng.normal(size=here.shape)
        here = here + 0.5 * MD_STEP_FS * velocity
        slope = gradient(here)
        velocity = velocity + push * slope
        if step >= before and (step - before) % between == 0:
            frames.append(here)
    return np.stack(frames)


def masses_of(numbers: Numbers) -> npt.NDArray[np.float64]:
    """Atomic masses [n], u."""
    return np.array([MASSES[int(z)] for z in numbers])
