"""What raysweep computes from fixed inputs, as plain numbers and digests that a refactor must not change.

`python tests/golden/golden.py` prints them; with `--write` it replaces `values.json`. Only a commit that means to
change a number does that, says why, and raises SPEC_VERSION where trials would train differently.
"""

import hashlib
import json
import math
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from raysweep.core.trial import OptimizerSpec, SymmetrySpec, TrialSpec
from raysweep.data.store.manifest import Provenance
from raysweep.data.store.store import Store
from raysweep.data.store.writing import write_store
from raysweep.data.structures import Structures
from raysweep.frontier import fit, to_json
from raysweep.models.base import DatasetInfo
from raysweep.models.registry import create
from raysweep.training.loop import train

VALUES = Path(__file__).with_name("values.json")
FINGERPRINT = "0" * 64
NETWORKS: dict[str, tuple[str, dict[str, int | float | str]]] = {
    "mpnn": ("mpnn", {"width": 12, "depth": 2}),
    "egnn": ("egnn", {"width": 12, "depth": 2}),
    "gemnet": ("gemnet", {"width": 12, "depth": 2}),
    "hybrid": ("hybrid", {"width": 8, "layers": "tensor invariant unconstrained", "l_max": 2}),
    "schnet": ("schnet", {"width": 12, "depth": 2, "radial": 16}),
    "dimenetpp": ("dimenetpp", {"width": 12, "depth": 2, "angular": 3}),
    "visnet": ("visnet", {"width": 12, "depth": 2, "head_width": 4}),
    "tensor": ("tensor", {"width": 6, "depth": 2, "l_max": 2}),
    "tensor-so2": ("tensor", {"width": 4, "depth": 2, "l_max": 3, "convolution": "so2", "correlation": 1}),
    "tensor-cg": ("tensor", {"width": 4, "depth": 2, "l_max": 1, "convolution": "cg", "correlation": 3}),
}
"""A small member of each architecture, of tensor with each convolution."""


def specs() -> dict[str, TrialSpec]:
    """Six trajectories that between them set every field."""
    plain = TrialSpec(
        architecture="egnn", size={"width": 8}, fingerprint=FINGERPRINT, structures=100, learning_rate=0.01
    )
    changes: dict[str, dict[str, object]] = {
        "defaults": {},
        "carried rate": {"size": {"width": 32}, "base_size": {"width": 8}, "learning_rate": 0.0123456789},
        "both kinds of budget": {"data_budgets": (500.0, 1e3), "flops_budgets": (1e12, 3.3e18), "epochs": 2.5},
        "wsd": {"optimizer": OptimizerSpec(name="wsd", decay="sqrt", weight_decay=0.1), "precision": "float64"},
        "symmetry": {"architecture": "mpnn", "symmetry": SymmetrySpec(augment=True, loss_rotations=5), "seed": 7},
        "entrypoint": {
            "entrypoint": "trainings.mine:train",
            "size": {"width": 8, "gate": True, "kind": "ä", "cutoff": 4.5},
            "forces": "conservative",
            "energy_weight": 10.0,
            "force_weight": 0.0,
            "batch_atoms": 512,
            "compile": True,
            "validation_structures": 10,
        },
    }
    return {label: plain.model_copy(update=change) for label, change in changes.items()}


def molecules() -> Structures:
    """Sixty clusters of 4 to 7 atoms with the energies and forces of a pair potential, the same to the bit anywhere."""
    rng = np.random.default_rng(11)
    n_atoms = rng.integers(4, 8, size=60)
    positions = np.concatenate([_cluster(rng, int(n)) for n in n_atoms]).astype(np.float32)
    structures = np.repeat(np.arange(60), n_atoms)
    # Multiplication and addition alone, so that no mathematical library has a say in the labels.
    gap = (positions[:, None] - positions[None]).astype(np.float64)
    squared = (gap * gap).sum(axis=2) + np.eye(len(positions))
    bound = (structures[:, None] == structures[None]) & ~np.eye(len(positions), dtype=bool)
    pair = np.where(bound, 1 / (squared * squared) - 1 / squared, 0.0)
    slope = np.where(bound, 4 / (squared * squared * squared) - 2 / (squared * squared), 0.0)
    return Structures(
        numbers=rng.choice(np.array([1, 6, 8], dtype=np.uint8), size=len(positions)),
        positions=positions,
        forces=(slope[:, :, None] * gap).sum(axis=1).astype(np.float32),
        n_atoms=n_atoms,
        energy=np.bincount(structures, weights=pair.sum(axis=1) / 2),
        residual=np.full(60, np.nan, dtype=np.float32),
        group=np.array([f"molecule {i % 20}" for i in range(60)], dtype=object),
    )


def _cluster(rng: np.random.Generator, n: int) -> np.ndarray:
    placed: list[np.ndarray] = []
    while len(placed) < n:
        candidate = rng.uniform(0, 2.5, 3)
        if all(((candidate - other) ** 2).sum() > 0.8 for other in placed):
            placed.append(candidate)
    return np.array(placed)


def golden_store(folder: Path) -> Store:
    """Write the molecules as a store."""
    return write_store(
        folder, molecules(), Provenance(source="golden", licence="none"), seed=4, validation_fraction=0.2
    )


def weights(label: str) -> dict[str, object]:
    """Digest the initial weights of a network, and measure their size."""
    name, size = NETWORKS[label]
    network = create(name, size, "direct", DatasetInfo(elements=(1, 6, 8), scale=1.7), 5)
    state = network.state_dict()
    content = b"".join(key.encode() + state[key].contiguous().numpy().tobytes() for key in sorted(state))
    return {
        "sha256": hashlib.sha256(content).hexdigest(),
        "tensors": {key: float(value.detach().double().norm()) for key, value in sorted(network.named_parameters())},
    }


def loss(label: str, store: Store, forces: str = "conservative") -> float:
    """Train a network for a few steps and return its validation loss."""
    name, size = NETWORKS[label]
    spec = TrialSpec(
        architecture=name,
        size=size,
        base_size=None,
        forces=forces,  # type: ignore[arg-type]
        fingerprint=store.manifest.fingerprint,
        structures=40,
        validation_structures=8,
        data_budgets=(200.0,),
        batch_atoms=40,
        learning_rate=0.01,
        optimizer=OptimizerSpec(warmup_steps=2),
        seed=3,
    )
    (point,) = train(spec, store, device="cpu")
    return point.loss


def fitted() -> str:
    """Fit points on a known law with one seed and return its JSON, less versions and lack of fit."""
    rng = np.random.default_rng(2)
    params, data = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e3, 1e6, 5), np.geomspace(1e4, 1e7, 6)))
    noise = 1 + 0.01 * rng.standard_normal(params.size)
    points = {"params": params, "data": data, "flops": 6 * params * data}
    found = fit({**points, "loss": (0.1 + 4 * params**-0.35 + 30 * data**-0.42) * noise}, bootstraps=40, seed=1)
    content = json.loads(to_json(found))
    del content["versions"], content["lack_of_fit"]
    return json.dumps(content, sort_keys=True)


def arithmetic() -> str:
    """Digest what this machine's libraries compute, to tell whether equal bits can be asked of it."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((48, 48))
    t = torch.tensor(a, dtype=torch.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = torch.randn(1000)
    parts = [
        t @ t,
        torch.bmm(t.view(4, 12, 48), t.view(4, 48, 12)),
        t.exp(),
        torch.nn.functional.silu(t),
        t.sin(),
        drawn,
    ]
    parts += [(t @ t).sum(0), t.abs().log(), t.tanh(), torch.linalg.vector_norm(t, dim=1)]
    content = [part.contiguous().numpy().tobytes() for part in parts]
    content += [x.tobytes() for x in (a @ a, np.exp(a), np.log(np.abs(a)), np.linalg.solve(a, a[0]), np.abs(a) ** 0.35)]
    content.append(repr([math.log(1.1), 3.7**-0.4, torch.__version__.split("+")[0], np.__version__]).encode())
    return hashlib.sha256(b"".join(content)).hexdigest()


def numbers(text: str) -> list[float]:
    """Return all numbers of a JSON text in their order."""
    return list(_numbers(json.loads(text)))


def _numbers(content: object) -> Iterable[float]:
    if isinstance(content, bool) or content is None or isinstance(content, str):
        return
    if isinstance(content, int | float):
        yield float(content)
        return
    for part in content.values() if isinstance(content, dict) else content:  # type: ignore[attr-defined]
        yield from _numbers(part)


def all_values() -> dict[str, object]:
    """Compute every golden value."""
    torch.set_num_threads(1)
    fit_json = fitted()
    with tempfile.TemporaryDirectory() as folder:
        store = golden_store(Path(folder) / "store")
        return {
            "arithmetic": arithmetic(),
            "trial_ids": {label: spec.trial_id for label, spec in specs().items()},
            "fingerprint": store.manifest.fingerprint,
            "rms_force": store.manifest.rms_force,
            "weights": {label: weights(label) for label in NETWORKS},
            "losses": {label: loss(label, store) for label in NETWORKS} | {"direct": loss("tensor", store, "direct")},
            "fit": {"sha256": hashlib.sha256(fit_json.encode()).hexdigest(), "numbers": numbers(fit_json)},
        }


if __name__ == "__main__":
    text = json.dumps(all_values(), indent=1)
    if sys.argv[1:] == ["--write"]:
        VALUES.write_text(text + "\n")
    else:
        print(text)
