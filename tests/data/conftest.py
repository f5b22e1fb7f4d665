"""One small real store that several tests look at."""

import pytest

from raysweep.data.generation.xtb import make_store
from raysweep.data.store.store import Store
from tests.kept_workers import KeptWorkers

REAL_STRUCTURES = 120
REAL_SEED = 7


@pytest.fixture(scope="session")
def real_store(tmp_path_factory: pytest.TempPathFactory, kept_workers: KeptWorkers) -> Store:
    """Return a store of GFN2-xTB structures, made by two workers."""
    location = tmp_path_factory.mktemp("data") / "store"
    return make_store(location, structures=REAL_STRUCTURES, seed=REAL_SEED, pool=kept_workers, validation_fraction=0.2)
