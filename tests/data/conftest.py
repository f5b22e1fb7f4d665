"""One small real store that several tests look at."""

import pytest

from raysweep.data.generation.xtb import make_store
from raysweep.data.store.store import Store

REAL_STRUCTURES = 120
REAL_SEED = 7


@pytest.fixture(scope="session")
def real_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store of GFN2-xTB structures, made by two workers."""
    location = tmp_path_factory.mktemp("data") / "store"
    return make_store(location, structures=REAL_STRUCTURES, seed=REAL_SEED, workers=2, validation_fraction=0.2)
