"""One small real store for all tests of the training room."""

from collections.abc import Callable

import pytest

from raysweep.core.trial import OptimizerSpec, TrialSpec
from raysweep.data.generation.xtb import make_store
from raysweep.data.store.store import Store
from raysweep.models import registry
from tests.kept_workers import KeptWorkers
from tests.training.habits import HABITS
from tests.training.networks import NETWORKS


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory, kept_workers: KeptWorkers) -> Store:
    """400 structures of 40 molecules."""
    return make_store(tmp_path_factory.mktemp("training") / "store", structures=400, seed=3, pool=kept_workers)


@pytest.fixture
def spec(store: Store) -> TrialSpec:
    """A trajectory of a second or two."""
    return TrialSpec(
        architecture="tensor",
        size={"width": 6, "l_max": 1},
        base_size={"width": 3, "l_max": 1},
        forces="conservative",
        fingerprint=store.manifest.fingerprint,
        structures=300,
        validation_structures=30,
        data_budgets=(500.0, 1200.0, 3000.0),
        flops_budgets=(6e7, 1e8),
        batch_atoms=60,
        learning_rate=0.03,
        optimizer=OptimizerSpec(warmup_steps=5),
        seed=1,
    )


@pytest.fixture
def plug_in(spec: TrialSpec, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TrialSpec]:
    """A short trajectory of one of networks.py's or habits.py's, as if a package had added it."""
    known = {**NETWORKS, **HABITS}

    class Entry:
        value = "networks"

        def __init__(self, name: str) -> None:
            self.load = lambda: known[name]

    monkeypatch.setattr(registry, "_plug_ins", lambda: {name: Entry(name) for name in known})

    def trajectory(name: str, **fields: object) -> TrialSpec:
        registry.architecture.cache_clear()
        update = {"architecture": name, "size": {"width": 8}, "base_size": None, "data_budgets": (300.0, 600.0, 900.0)}
        return spec.model_copy(update={**update, "flops_budgets": (), "forces": "direct", **fields})

    yield trajectory
    registry.architecture.cache_clear()
