"""A sweep as `run` leaves it, written without Ray, and a small structure store to give it other data."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import toy_trials
import yaml

from raysweep.core.trial import TrialState
from raysweep.data.store.manifest import Provenance
from raysweep.data.store.writing import write_store
from raysweep.data.structures import Structures
from raysweep.storage import layout
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.plan.planner import make_plan
from raysweep.sweep.plan.specs import TrialSpecs
from raysweep.sweep.space.facts import data_facts
from raysweep.sweep.space.identity import write_identity
from raysweep.sweep.space.space import Space, load_space
from raysweep.sweep.tuning.rates import known_rates
from tests.drivers import RAYSWEEP, run, shared_ray

TOYS = str(Path(__file__).parent)


def write_space(path: Path, storage: object, **changes: object) -> Path:
    """Write a search space whose rates are known: one family of two sizes, two budgets."""
    content = {
        "name": "toy",
        "storage": str(storage),
        "entrypoint": "toy_trials:train",
        "families": {"a": {"architecture": "toy-a", "sizes": {"width": [8, 16]}}},
        "grid": {"structures": [100, 200]},
        "learning_rate": {"rates": {"a": 0.02}},
        **changes,
    }
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
    return path


def finish(space: Space) -> TrialStore:
    """Train all of a sweep in this process and write what `run` writes."""
    store, facts = TrialStore(space.storage), data_facts(space)
    assert facts is not None
    plan = make_plan(space, facts, known_rates(TrialSpecs.of(space, facts), store), measure=False)
    for spec in (trial.spec for trial in plan.trials):
        assert spec is not None
        claim = store.begin(spec)
        store.end(claim, TrialState.DONE, list(toy_trials.train(spec, None, checkpoints=None, device=None)))
    write_identity(store, space, facts)
    store.write_assignments(plan.assignments())
    pq.write_table(store.table(), Path(space.storage) / layout.POINTS)
    return store


def finished(path: Path, storage: object, **changes: object) -> Path:
    """Write a search space, finish its sweep, and return the path of the space."""
    finish(load_space(write_space(path, storage, **changes)))
    return path


def make_store(folder: Path, seed: int) -> Path:
    """Write a structure store of 300 structures of random content."""
    rng, count = np.random.default_rng(seed), 300
    structures = Structures(
        numbers=np.full(2 * count, 6, dtype=np.uint8),
        positions=rng.normal(size=(2 * count, 3)).astype(np.float32),
        forces=rng.normal(size=(2 * count, 3)).astype(np.float32),
        n_atoms=np.full(count, 2),
        energy=rng.normal(size=count),
        residual=np.full(count, np.nan, dtype=np.float32),
        group=np.array([f"group {i % 60}" for i in range(count)], dtype=object),
    )
    provenance = Provenance(source="random numbers", licence="none")
    write_store(folder, structures, provenance, validation_fraction=0.1, seed=0)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder, links not followed."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def command(*arguments: str, folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line in a process of its own, which finds the toy trials."""
    path = os.pathsep.join([TOYS, os.environ.get("PYTHONPATH", "")])
    ray = shared_ray() if arguments[0] == "run" else {}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **ray, **variables}
    done = run([RAYSWEEP, *arguments], folder=folder, environment=environment)
    assert "Traceback" not in done.stderr, done.stderr
    return done
