"""Invented molecules as batches, for tests of the architectures."""

from dataclasses import replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from raysweep.data.graphs.batches import Batch
from raysweep.models.base import DatasetInfo, ForceField
from raysweep.models.registry import architecture, check_size, create

ELEMENTS = (1, 6, 7, 8, 9)
SCALE = 1.7
SIZES: dict[str, tuple[str, dict[str, int | float | str]]] = {
    "mpnn": ("mpnn", {"width": 12, "depth": 2}),
    "egnn": ("egnn", {"width": 12, "depth": 2}),
    **{f"tensor-l{l}": ("tensor", {"width": 6, "depth": 2, "l_max": l}) for l in (1, 2, 3, 4)},
    "gemnet": ("gemnet", {"width": 12, "depth": 2}),
    "gemnet-3": ("gemnet", {"width": 12, "depth": 2, "body_order": 3, "norm": "layer"}),
    "hybrid": ("hybrid", {"width": 8, "layers": "tensor invariant tensor", "l_max": 2}),
    "hybrid-so2": (
        "hybrid",
        {"width": 8, "layers": "tensor tensor invariant", "l_max": 2, "convolution": "so2", "correlation": 1},
    ),
    "hybrid-cheap": ("hybrid", {"width": 8, "layers": "invariant invariant", "l_max": 1, "norm": "rms"}),
    "hybrid-mixed": ("hybrid", {"width": 8, "layers": "unconstrained tensor invariant", "l_max": 1, "norm": "layer"}),
    "hybrid-free": ("hybrid", {"width": 8, "layers": "invariant unconstrained"}),
    "schnet": ("schnet", {"width": 12, "depth": 2, "radial": 16}),
    "dimenetpp": ("dimenetpp", {"width": 12, "depth": 2, "angular": 3}),
    "visnet": ("visnet", {"width": 12, "depth": 2, "head_width": 4}),
    "visnet-l2": ("visnet", {"width": 12, "depth": 2, "head_width": 6, "l_max": 2}),
    "mpnn-layer": ("mpnn", {"width": 12, "depth": 2, "norm": "layer", "basis": "gaussian"}),
    "egnn-layer": ("egnn", {"width": 12, "depth": 2, "norm": "layer"}),
    "egnn-rms": ("egnn", {"width": 12, "depth": 2, "norm": "rms", "basis": "gaussian"}),
    "tensor-layer": ("tensor", {"width": 6, "depth": 2, "l_max": 2, "norm": "layer"}),
    **{
        f"tensor-{kind}-l{l}-nu{nu}": (
            "tensor",
            {"width": 4, "depth": 2, "l_max": l, "convolution": kind, "correlation": nu, "norm": norm},
        )
        for kind, l, nu, norm in (
            ("so2", 1, 1, "none"),
            ("so2", 2, 1, "layer"),
            ("so2", 3, 1, "none"),
            ("so2", 4, 1, "none"),
            ("cg", 1, 1, "none"),
            ("cg", 2, 1, "rms"),
            ("cg", 3, 1, "none"),
            ("cg", 4, 1, "none"),
            ("so2", 2, 3, "none"),
            ("so2", 4, 3, "rms"),
            ("cg", 1, 3, "none"),
            ("sparse", 3, 3, "none"),
        )
    },
    "tensor-so2-l4-m2": (
        "tensor",
        {"width": 4, "depth": 3, "l_max": 4, "m_max": 2, "convolution": "so2", "correlation": 1},
    ),
    "tensor-rms": ("tensor", {"width": 6, "depth": 2, "l_max": 2, "norm": "rms"}),
}
EQUIVARIANT = [
    label for label, (name, size) in SIZES.items() if architecture(name).is_equivariant(check_size(name, size))
]


def random_batch(n_structures: int = 3, seed: int = 0, cutoff: float = 5.0, box: float = 3.2) -> Batch:
    """Atoms thrown into a box, no two closer than 0.9 Å, in float64."""
    rng = np.random.default_rng(seed)
    positions, numbers, senders, receivers, structure, n_atoms = [], [], [], [], [], []
    for s in range(n_structures):
        n = int(rng.integers(5, 11))
        placed: list[np.ndarray] = []
        while len(placed) < n:
            candidate = rng.uniform(0, box, 3)
            if all(np.linalg.norm(candidate - other) > 0.9 for other in placed):
                placed.append(candidate)
        x = np.array(placed)
        distance = np.linalg.norm(x[:, None] - x[None], axis=-1)
        i, j = np.nonzero((distance < cutoff) & (distance > 0))
        offset = sum(n_atoms)
        receivers.append(i + offset)
        senders.append(j + offset)
        positions.append(x)
        numbers.append(rng.choice(ELEMENTS, n))
        structure.append(np.full(n, s))
        n_atoms.append(n)
    return Batch(
        numbers=torch.tensor(np.concatenate(numbers)),
        positions=torch.tensor(np.concatenate(positions)),
        structure=torch.tensor(np.concatenate(structure)),
        n_atoms=torch.tensor(n_atoms, dtype=torch.float64),
        senders=torch.tensor(np.concatenate(senders)),
        receivers=torch.tensor(np.concatenate(receivers)),
        shifts=None,
        energy=torch.tensor(rng.normal(size=n_structures)),
        forces=torch.tensor(rng.normal(size=(sum(n_atoms), 3))),
    )


def force_field(name: str, forces: str, seed: int = 0, **knobs: int | str) -> ForceField:
    """A small member of each family in float64, in evaluation mode."""
    architecture, size = SIZES[name]
    dataset = DatasetInfo(elements=ELEMENTS, scale=SCALE)
    return create(architecture, {**size, **knobs}, forces, dataset, seed, torch.float64).eval()  # type: ignore[arg-type]


def rotation(seed: int, reflect: bool) -> torch.Tensor:
    """A random rotation matrix, times an inversion where `reflect`."""
    matrix = Rotation.random(random_state=seed).as_matrix()
    return torch.tensor(-matrix if reflect else matrix)


def moved(batch: Batch, matrix: torch.Tensor, shift: torch.Tensor | float = 0.0) -> Batch:
    """The batch with every position turned and shifted."""
    return replace(batch, positions=batch.positions @ matrix.T + shift)


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest difference over largest magnitude."""
    return float(((a - b).abs().max() / b.abs().max()).detach())
