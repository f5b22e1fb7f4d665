"""Fits of reports with fewer bootstraps than a user's: no test of what a page or an option says needs 1,000."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from raysweep import frontier

BOOTSTRAPS = 100


@contextmanager
def fewer_bootstraps() -> Iterator[None]:
    """Have the block's reports fitted with `BOOTSTRAPS`."""
    with pytest.MonkeyPatch.context() as patched:
        for name in ("fit", "fit_families"):
            patched.setattr(frontier, name, partial(getattr(frontier, name), bootstraps=BOOTSTRAPS))
        yield


@pytest.fixture(autouse=True, scope="module")
def _fewer_bootstraps() -> Iterator[None]:
    with fewer_bootstraps():
        yield
