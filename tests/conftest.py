"""What the tests of several rooms share."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real points with published results, where they are at hand."""
    place = Path(os.environ.get("RAYSWEEP_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not place.is_dir():
        pytest.skip(f"no published points at {place}; set RAYSWEEP_SHARED_DATA")
    return place
