"""The embedded source: random small organic molecules with GFN2-xTB labels, made by many processes.

Candidate molecule k is a function of (seed, k), its structures are too, and results are taken in the order of k. So
the store does not depend on the number of workers, on where they ran, or on interruptions.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import count, islice
from pathlib import Path

from pydantic import JsonValue

from raysweep.core.errors import DataError
from raysweep.data.generation.labels import Grown, grow_range, label_all
from raysweep.data.generation.parts import MadeParts
from raysweep.data.generation.presets import DEFAULT_PRESET, RECIPE_NAME, Displacing, Preset, preset_named
from raysweep.data.reasons import DUPLICATE, NOT_GROWN
from raysweep.data.store.destination import standing_store
from raysweep.data.store.manifest import Provenance
from raysweep.data.store.splitting import Split
from raysweep.data.store.store import Store
from raysweep.data.store.writing import write_parts
from raysweep.data.workers import Pool, Workers, usable_cores

RECIPE_VERSION = 1
"""Raised whenever the same arguments would give other structures."""
GROWN_PER_TASK = 128
MOLECULES_PER_TASK = 8
"""A task of about 0.2 s: short enough to share out evenly, long enough that sending it costs nothing."""
KEPT_AT_LEAST = 0.01
TRIED_AT_LEAST = 1_000
"""After this many structures, give up if a smaller share than this was kept."""

Progress = Callable[[int, int], None]
"""Called as `progress(structures_done, structures_wanted)` in the calling process."""


def make_store(
    location: str | Path,
    *,
    structures: int,
    preset: str = DEFAULT_PRESET,
    seed: int = 0,
    workers: int | None = None,
    pool: Pool | None = None,
    validation_fraction: float = 0.1,
    displacing: Displacing | None = None,
    progress: Progress | None = None,
) -> Store:
    """Make a store of GFN2-xTB structures, or open the store that the same recipe made before.

    The store appears whole or not at all. Until then finished structures are kept in a hidden folder next to it, and
    the same call after a kill, an error or an interrupt continues from them.

    Args:
        location: folder or `pyarrow.fs` URI of the store; absent, empty, or a store of the same recipe.
        structures: how many to keep, training and validation together.
        preset: which molecules and structures (`raysweep.data.generation.presets`).
        seed: of molecules, conformers, displacements, split and order.
        workers: processes; by default all cores that this process may use. The content does not depend on them.
        pool: workers to use instead of processes of this machine; the content does not depend on them, either.
        validation_fraction: share of the molecules that is held out.
        displacing: how conformers are displaced and which labels are kept, instead of the preset's.
        progress: called as structures arrive, and once before.

    Raises:
        DataError: the location holds something else, an argument is out of range, or a worker was killed.
        StorageError: the disk is full.
    """
    chosen = preset_named(preset)
    chosen = replace(chosen, displacing=displacing or chosen.displacing)
    _check_arguments(structures, seed, workers, validation_fraction, chosen)
    recipe = _recipe(structures, seed, validation_fraction, chosen)
    present = standing_store(location, recipe)
    parts = MadeParts(location, _determined_by(recipe))
    if present is not None:
        parts.remove()  # left by a run that was killed just after it had written the store
        return present
    with parts:
        if parts.structures < structures:
            with pool or Workers(workers or usable_cores()) as running:
                _make_parts(running, parts, structures, seed, chosen, progress or _silent)
        with parts.rows(structures) as rows:
            provenance = _provenance(recipe, parts.left_out(structures), chosen)
            split = Split(validation_fraction=validation_fraction, seed=seed)
            store = write_parts(location, rows, split, provenance)
        parts.remove()
    return store


def _check_arguments(
    structures: int, seed: int, workers: int | None, validation_fraction: float, preset: Preset
) -> None:
    """Refuse arguments out of range before any work."""
    if structures < 1 or seed < 0 or (workers is not None and workers < 1):
        raise DataError(f"structures={structures}, seed={seed}, workers={workers}: must be at least 1, 0 and 1")
    each = preset.displacing.structures_per_molecule
    if structures <= each:
        raise DataError(
            f"structures is {structures}, and one molecule gives up to {each}: the split needs two, so ask for more"
        )
    if not 0 < validation_fraction < 1:
        raise DataError(f"validation_fraction is {validation_fraction}; it must be above 0 and below 1")


def _make_parts(pool: Pool, parts: MadeParts, structures: int, seed: int, preset: Preset, progress: Progress) -> None:
    """Label molecules until there are enough structures."""
    molecules = _distinct_molecules(pool, seed, preset, parts)
    tasks = ((chunk, seed, preset) for chunk in iter(lambda: list(islice(molecules, MOLECULES_PER_TASK)), []))
    progress(parts.structures, structures)
    for labelled in pool.in_order(label_all, tasks):
        parts.add(labelled)
        progress(min(parts.structures, structures), structures)
        if parts.structures >= structures:
            break
        _refuse_hopeless(parts.structures, parts.molecules * preset.displacing.structures_per_molecule, parts.rejected)


def _distinct_molecules(pool: Pool, seed: int, preset: Preset, parts: MadeParts) -> Iterator[Grown]:
    """Yield each distinct molecule, from the first candidate that the parts do not hold."""
    left_out: Counter[str] = Counter()
    first = parts.candidates
    chunks = ((seed, range(start, start + GROWN_PER_TASK), preset) for start in count(first, GROWN_PER_TASK))
    for k, grown in enumerate((one for chunk in pool.in_order(grow_range, chunks) for one in chunk), start=first):
        if grown is None:
            left_out[NOT_GROWN] += 1
        elif not parts.seen.add(grown[0]):
            left_out[DUPLICATE] += 1
        else:
            smiles, group = grown
            yield Grown(candidate=k, smiles=smiles, group=group, left_out=dict(left_out))
            left_out.clear()


def _silent(done: int, wanted: int) -> None:
    pass


def _recipe(structures: int, seed: int, validation_fraction: float, preset: Preset) -> dict[str, JsonValue]:
    """The recipe for the manifest; the first preset is not named, so that its older stores keep their recipe."""
    settings: dict[str, JsonValue] = {
        **asdict(preset.displacing),
        "temperatures": list(preset.displacing.temperatures),
    }
    if preset.name != DEFAULT_PRESET:
        settings["preset"] = preset.name
    return {
        "name": RECIPE_NAME,
        "version": RECIPE_VERSION,
        "structures": structures,
        "seed": seed,
        "validation_fraction": validation_fraction,
        **settings,
    }


def _determined_by(recipe: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Everything that a part depends on: parts made with other versions are not continued."""
    shared = {name: value for name, value in recipe.items() if name not in ("structures", "validation_fraction")}
    return {**shared, "made_with": dict(_versions())}


def _versions() -> dict[str, str]:
    try:
        return {name: version(name) for name in ("raysweep", "rdkit", "tblite", "numpy")}
    except PackageNotFoundError as error:
        raise DataError(f"making data needs {error.name}, which is not installed: pip install {error.name}") from error


def _provenance(recipe: dict[str, JsonValue], rejected: Mapping[str, int], preset: Preset) -> Provenance:
    return Provenance(
        source=f"{preset.source}, labelled with GFN2-xTB (tblite)",
        licence="CC0-1.0",
        recipe=recipe,
        made_with=_versions(),
        rejected=dict(sorted(rejected.items())),
    )


def _refuse_hopeless(done: int, tried: int, rejected: Mapping[str, int]) -> None:
    if tried >= TRIED_AT_LEAST and done < KEPT_AT_LEAST * tried:
        raise DataError(
            f"of {tried} structures {done} were kept (left out: {dict(rejected)}). "
            "Raise force_limit, lower the temperatures, or raise the wavenumber"
        )
