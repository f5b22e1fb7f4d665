"""Ray Tune's environment variables, which a sweep sets whatever the user's shell contains."""

import contextlib
import os
from collections.abc import Iterator

from raysweep.sweep.cluster.ray.home import NOWHERE, has_home

# Tune writes no result files and no console tables, since the trial store has everything, and no snapshots of
# the experiment, since nothing is ever resumed from them.
_OURS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # an entrypoint finds its files where the command was run
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a trial that failed before its first point reports nothing
}
_ZERO_GPUS = "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"
_TUNES = ("TUNE_", "RAY_TUNE_", "RAY_AIR_", "RAY_TRAIN_", "RAY_CHDIR_TO_TRIAL_DIR")
"""Prefixes of Tune's variables.

TUNE_RESULT_DIR and RAY_AIR_LOCAL_CACHE_DIR make it refuse to run, others hold points back or write elsewhere.
"""


def foreign_variables() -> list[str]:
    """List Tune's variables in the environment with other values than a sweep needs; they are ignored."""
    return sorted(name for name in os.environ if name.startswith(_TUNES) and os.environ[name] != _OURS.get(name))


def set_variables() -> dict[str, str]:
    """Set the variables that Tune reads; return their values before."""
    before = {name: value for name, value in os.environ.items() if name.startswith(_TUNES)}
    for name in before:
        del os.environ[name]
    os.environ.update(_OURS)
    os.environ.setdefault(_ZERO_GPUS, "0")
    if not has_home():
        os.environ["HOME"] = NOWHERE  # Ray Tune cannot be imported by a user without a home
    return before


@contextlib.contextmanager
def ray_variables() -> Iterator[None]:
    """Set a sweep's variables for the block and restore the user's after it."""
    before = set_variables()
    try:
        yield
    finally:
        for name in _OURS:
            os.environ.pop(name, None)
        os.environ.update(before)
