"""Scaling sweeps on Ray for people who train neural force fields: which architecture, how large, on how much data.

`load_space`, `plan`, `run` and `open_store` are here; the estimator is `raysweep.frontier`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from raysweep.core.version import __version__ as __version__

if TYPE_CHECKING:
    from raysweep.data.store.store import open_store as open_store
    from raysweep.sweep.preview import plan as plan
    from raysweep.sweep.run import run as run
    from raysweep.sweep.space.space import load_space as load_space

__all__ = ["load_space", "open_store", "plan", "run"]

_PLACES = {
    "load_space": "raysweep.sweep.space.space",
    "open_store": "raysweep.data.store.store",
    "plan": "raysweep.sweep.preview",
    "run": "raysweep.sweep.run",
}


def __getattr__(name: str) -> object:
    """Import on first use, so that `import raysweep` and `raysweep --help` stay light."""
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'raysweep' has no attribute {name!r}")
