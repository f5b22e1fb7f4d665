"""Sweeps in folders of their own."""

from collections.abc import Callable
from pathlib import Path

import pytest
from killable import Sweep


@pytest.fixture
def make_sweep(tmp_path: Path) -> Callable[..., Sweep]:
    return lambda name, **how: Sweep(tmp_path / name, **how)
