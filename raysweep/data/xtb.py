"""The embedded source: random small organic molecules with GFN2-xTB labels, made on all cores of this machine.

Candidate molecule k is a function of (seed, k), its structures are too, and results are taken in the order of k. So
the store does not depend on how many workers made it.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from importlib.metadata import version
from itertools import count, islice
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from raysweep.data.labels import DUPLICATE, NOT_GROWN, Displacing, Labelled, grow_range, label_all
from raysweep.data.store import Store
from raysweep.data.structures import Structures
from raysweep.data.workers import Workers, usable_cores
from raysweep.data.writing import Provenance, standing_store, write_store
from raysweep.errors import DataError

RECIPE_VERSION = 1
"""Raised whenever the same arguments would give other structures."""
GROWN_PER_TASK = 128
MOLECULES_PER_TASK = 8
"""A task of about 0.2 s: short enough to share out evenly, long enough that sending it costs nothing."""
KEPT_AT_LEAST = 0.01
TRIED_AT_LEAST = 1_000
"""After so many structures, give up where a smaller share than that was kept."""

Progress = Callable[[int, int], None]
"""Called as `progress(structures_done, structures_wanted)` in the calling process."""


def make_store(
    location: str | Path,
    *,
    structures: int,
    seed: int = 0,
    workers: int | None = None,
    validation_fraction: float = 0.1,
    displacing: Displacing | None = None,
    progress: Progress | None = None,
) -> Store:
    """Make a store of GFN2-xTB structures; where a store of the same recipe stands already, return that.

    Args:
        location: folder or `pyarrow.fs` URI of the store; absent, empty, or a store of the same recipe.
        structures: how many to keep, training and validation together.
        seed: of molecules, conformers, displacements, split and order.
        workers: processes; all cores that this process may use by default. They do not change the content.
        validation_fraction: share of the molecules that is held out.
        displacing: how conformers are displaced and which labels are kept.
        progress: called as structures arrive.

    Raises:
        DataError: the location holds something else, an argument is out of range, or a worker was killed.
    """
    displacing = displacing or Displacing()
    if structures < 1 or seed < 0 or (workers is not None and workers < 1):
        raise DataError(f"structures={structures}, seed={seed}, workers={workers}: must be at least 1, 0 and 1")
    if not 0 < validation_fraction < 1:
        raise DataError(f"validation_fraction is {validation_fraction}; it must lie above 0 and below 1")
    recipe = _recipe(structures, seed, validation_fraction, displacing)
    present = standing_store(location, recipe)
    if present is not None:
        return present
    kept: list[Labelled] = []
    rejected: Counter[str] = Counter()
    done = 0
    with Workers(workers or usable_cores()) as pool:
        for labelled in _labelled(pool, seed, displacing):
            kept.append(_head(labelled, structures - done))
            done += len(kept[-1].energy)
            rejected.update(labelled.rejected)
            if progress:
                progress(done, structures)
            if done >= structures:
                break
            _refuse_hopeless(done, len(kept) * displacing.structures_per_molecule, rejected)
    return write_store(
        location,
        _joined(kept),
        _provenance(recipe, rejected),
        validation_fraction=validation_fraction,
        seed=seed,
    )


def _labelled(pool: Workers, seed: int, displacing: Displacing) -> Iterator[Labelled]:
    """Yield the labelled structures of one distinct molecule after the other, without end."""
    molecules = _distinct_molecules(pool, seed)
    tasks = ((chunk, seed, displacing) for chunk in iter(lambda: list(islice(molecules, MOLECULES_PER_TASK)), []))
    for results in pool.in_order(label_all, tasks):
        yield from results


def _distinct_molecules(pool: Workers, seed: int) -> Iterator[tuple[int, str, dict[str, int]]]:
    """Yield (k, SMILES, candidates left out since the last one by reason) of each molecule that is met first."""
    seen: set[str] = set()
    left_out: Counter[str] = Counter()
    chunks = ((seed, range(start, start + GROWN_PER_TASK)) for start in count(0, GROWN_PER_TASK))
    for k, smiles in enumerate(s for chunk in pool.in_order(grow_range, chunks) for s in chunk):
        if smiles is None:
            left_out[NOT_GROWN] += 1
        elif smiles in seen:
            left_out[DUPLICATE] += 1
        else:
            seen.add(smiles)
            yield k, smiles, dict(left_out)
            left_out.clear()


def _head(labelled: Labelled, n: int) -> Labelled:
    return replace(labelled, positions=labelled.positions[:n], forces=labelled.forces[:n], energy=labelled.energy[:n])


def _joined(parts: list[Labelled]) -> Structures:
    counts = [len(part.energy) for part in parts]
    energy = np.concatenate([part.energy for part in parts])
    return Structures(
        numbers=np.concatenate([np.tile(part.numbers, n) for part, n in zip(parts, counts, strict=True)]),
        positions=np.concatenate([part.positions.reshape(-1, 3) for part in parts]),
        forces=np.concatenate([part.forces.reshape(-1, 3) for part in parts]),
        n_atoms=np.repeat([len(part.numbers) for part in parts], counts).astype(np.int64),
        energy=energy,
        residual=np.full(len(energy), np.nan, dtype=np.float32),
        group=np.repeat(np.array([part.group for part in parts], dtype=object), counts),
    )


def _recipe(structures: int, seed: int, validation_fraction: float, displacing: Displacing) -> dict[str, JsonValue]:
    settings: dict[str, JsonValue] = {**asdict(displacing), "temperatures": list(displacing.temperatures)}
    return {
        "name": "raysweep.data.xtb",
        "version": RECIPE_VERSION,
        "structures": structures,
        "seed": seed,
        "validation_fraction": validation_fraction,
        **settings,
    }


def _provenance(recipe: dict[str, JsonValue], rejected: Counter[str]) -> Provenance:
    return Provenance(
        source="molecules grown by valence rules, ETKDG and MMFF94 conformers (RDKit), thermally displaced, "
        "labelled with GFN2-xTB (tblite)",
        licence="CC0-1.0",
        recipe=recipe,
        made_with={name: version(name) for name in ("raysweep", "rdkit", "tblite", "numpy")},
        rejected=dict(sorted(rejected.items())),
    )


def _refuse_hopeless(done: int, tried: int, rejected: Counter[str]) -> None:
    if tried >= TRIED_AT_LEAST and done < KEPT_AT_LEAST * tried:
        raise DataError(
            f"of {tried} structures {done} were kept (left out: {dict(rejected)}). "
            "Raise force_limit, lower the temperatures, or raise the wavenumber"
        )
