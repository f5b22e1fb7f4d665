"""A small store, and small trajectories in the storage of a sweep, as a worker leaves them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from raysweep.core.hashing import size_json
from raysweep.core.points import Point
from raysweep.core.trial import OptimizerSpec, TrialSpec, TrialState
from raysweep.data.generation.xtb import make_store
from raysweep.data.store.store import Store
from raysweep.storage.records import Assignment
from raysweep.storage.trial_store import TrialStore
from raysweep.trained.model import LoadedModel
from raysweep.trained.sweeps import export_model
from raysweep.training.loop import train
from tests.kept_workers import KeptWorkers

Trained = Callable[..., tuple[TrialSpec, list[Point]]]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory, kept_workers: KeptWorkers) -> Store:
    """120 structures of 12 molecules."""
    return make_store(tmp_path_factory.mktemp("trained") / "store", structures=120, seed=3, pool=kept_workers)


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The storage of trajectories that `trained` adds."""
    return tmp_path_factory.mktemp("trained") / "sweep"


@pytest.fixture(scope="session")
def trained(store: Store, sweep: Path) -> Trained:
    """Train a short trajectory into the storage, and return its specification and points."""

    def into_storage(
        architecture: str = "egnn",
        size: dict[str, object] | None = None,
        keep: str = "last",
        family: str | None = None,
        **fields: object,
    ) -> tuple[TrialSpec, list[Point]]:
        spec = TrialSpec(
            architecture=architecture,
            size=size or {"width": 6, "depth": 2},
            fingerprint=store.manifest.fingerprint,
            structures=60,
            validation_structures=8,
            **{
                "forces": "conservative", "batch_atoms": 40, "learning_rate": 0.01, "data_budgets": (150.0, 400.0),
                "optimizer": OptimizerSpec(warmup_steps=2), **fields,
            },
        )  # fmt: skip
        trials = TrialStore(str(sweep))
        claim = trials.begin(spec)
        points = list(train(spec, store, checkpoints=trials.take_checkpoints(claim), keep_weights=keep))
        trials.end(claim, TrialState.DONE, points)
        row = Assignment(
            trial_id=spec.trial_id, family=family or architecture, stage="grid", seed=spec.seed,
            size=size_json(spec.size), learning_rate=spec.learning_rate,
        )  # fmt: skip
        trials.add_assignments([row])
        return spec, points

    return into_storage


@pytest.fixture(scope="session")
def conservative(trained: Trained, sweep: Path, store: Store) -> tuple[Path, LoadedModel]:
    """A conservative model in double precision, and its file."""
    spec, _ = trained("tensor", {"width": 4, "depth": 2, "l_max": 1}, precision="float64")
    path = sweep.parent / "conservative.rsm"
    return path, export_model(str(sweep), spec.trial_id, path, data=str(store.location))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
