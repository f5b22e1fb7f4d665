"""Scaling sweeps on Ray for neural force fields: which architecture, how large, on how much data, and how sure.

This module is the public face; the estimator is `raysweep.frontier`, and `raysweep.models.base` is what an architecture
of your own implements. Names are imported on first use, so that `import raysweep` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from raysweep.core.version import __version__ as __version__

if TYPE_CHECKING:
    from raysweep.core.errors import RaysweepError as RaysweepError
    from raysweep.core.points import Point as Point
    from raysweep.core.trial import TrialSpec as TrialSpec
    from raysweep.data.store.store import open_store as open_store
    from raysweep.sweep.forecasts.make import forecast as forecast
    from raysweep.sweep.forecasts.make import forecasts as forecasts
    from raysweep.sweep.mlflow.choose import choose as choose
    from raysweep.sweep.mlflow.equal import sync as sync
    from raysweep.sweep.mlflow.prove import prove as prove
    from raysweep.sweep.mlflow.run import run as run
    from raysweep.sweep.mlflow.train import train as train
    from raysweep.sweep.preview import plan as plan
    from raysweep.sweep.space.space import load_space as load_space
    from raysweep.trained.model import load as load
    from raysweep.trained.sweeps import export_model as export_model

__all__ = [
    "Point",
    "RaysweepError",
    "TrialSpec",
    "choose",
    "export_model",
    "forecast",
    "forecasts",
    "load",
    "load_space",
    "open_store",
    "plan",
    "prove",
    "run",
    "sync",
    "train",
]

_MODULES = {
    "Point": "raysweep.core.points",
    "RaysweepError": "raysweep.core.errors",
    "TrialSpec": "raysweep.core.trial",
    "choose": "raysweep.sweep.mlflow.choose",
    "export_model": "raysweep.trained.sweeps",
    "forecast": "raysweep.sweep.forecasts.make",
    "forecasts": "raysweep.sweep.forecasts.make",
    "load": "raysweep.trained.model",
    "load_space": "raysweep.sweep.space.space",
    "open_store": "raysweep.data.store.store",
    "plan": "raysweep.sweep.preview",
    "prove": "raysweep.sweep.mlflow.prove",
    "run": "raysweep.sweep.mlflow.run",
    "sync": "raysweep.sweep.mlflow.equal",
    "train": "raysweep.sweep.mlflow.train",
}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'raysweep' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
