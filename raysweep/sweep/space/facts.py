"""Facts about the structures that the planner needs: their number, and the atoms of the first n of them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pyarrow import fs
from pydantic import JsonValue

from raysweep.core.errors import DataError, RaysweepError
from raysweep.core.io.files import open_location
from raysweep.core.trial import NO_DATA
from raysweep.data.generation.presets import DEFAULT_PRESET, RECIPE_NAME
from raysweep.sweep.space.data import Data, MakeData
from raysweep.sweep.space.parts import Grid, LearningRate
from raysweep.sweep.space.space import Space
from raysweep.sweep.space.yaml_lines import ErrorAt


@dataclass(frozen=True)
class DataFacts:
    """Facts about the training part of a store."""

    fingerprint: str
    structures: int | None
    """Training structures; None: no store, no end."""
    cumulative: npt.NDArray[np.int64] | None
    """[n] atoms of the first 1, 2, ..., n structures of the store's one order, as far as the sweep needs them."""

    def atoms(self, seen: int, subset: int) -> float:
        """Count the atoms in the first `seen` structures of a trajectory that passes over a subset of size `subset`."""
        if self.cumulative is None:
            return float(seen)
        if subset > len(self.cumulative):
            return float(seen) * float(self.cumulative[-1]) / len(self.cumulative)
        passes, rest = divmod(seen, subset)
        return float(passes * self.cumulative[subset - 1] + (self.cumulative[rest - 1] if rest else 0))

    def subset_with(self, atoms: float) -> int:
        """Return the size of the smallest subset with at least this number of atoms."""
        return math.ceil(atoms) if self.cumulative is None else int(np.searchsorted(self.cumulative, atoms)) + 1

    def seen_with(self, atoms: float, subset: int) -> int:
        """Count the structures after which a trajectory over a subset of size `subset` has seen the atoms."""
        if self.cumulative is None:
            return math.ceil(atoms)
        passes, rest = divmod(atoms, float(self.cumulative[subset - 1]))
        return int(passes) * subset + (self.subset_with(rest) if rest else 0)


def in_structures(grid: Grid, facts: DataFacts | None, error: ErrorAt) -> Grid:
    """Convert a grid's data budgets in atoms into structures: the fewest with at least that many atoms.

    Args:
        grid: the joint grid.
        facts: about the structures; None while the store is still to be made.
        error: makes the error about a key.

    Raises:
        SpaceError: the structure store does not exist yet, or has too few atoms.
    """
    if not grid.atoms:
        return grid
    path = ("grid", "atoms")
    if facts is None:
        raise error(
            path,
            "the number of structures with so many atoms is known only once there is a structure store: make it first "
            "(`raysweep data make SPACE`), or give `structures`",
        )
    share = grid.atoms[-1] / grid.epochs
    available = math.inf if facts.cumulative is None else float(facts.cumulative[-1])
    if share > available:
        raise error(
            path,
            f"{grid.atoms[-1]:g} atoms in {grid.epochs:g} epochs need {share:g} different ones, and the store has "
            f"{available:g} for training; ask for fewer, make more (data.make.structures), or raise grid.epochs",
        )
    subset = facts.subset_with(share)
    seen = [facts.seen_with(atoms, subset) for atoms in grid.atoms]
    seen[-1] = max(seen[-1], int((subset - 1) * grid.epochs) + 1)  # so that the subset is no smaller
    return grid.model_copy(update={"atoms": (), "structures": tuple(dict.fromkeys(seen))})


def data_fingerprint(data: Data | None) -> str | None:
    """Read the fingerprint of a structure store: `NO_DATA` without one, None where it is absent or not readable."""
    if data is None:
        return NO_DATA
    from raysweep.data.store.store import open_store  # a sweep without data needs no store

    try:
        return open_store(data.store).manifest.fingerprint
    except (RaysweepError, OSError):
        return None


def data_facts(space: Space, at_least: int = 0) -> DataFacts | None:
    """Look up the facts about a space's structure store, None while it is still to be made.

    Args:
        space: the search space.
        at_least: structures whose atoms are counted exactly, where the space itself needs fewer.

    Raises:
        SpaceError: there is no store and no recipe to make one.
    """
    if space.data is None:
        return DataFacts(NO_DATA, None, None)
    from raysweep.data.store.store import open_store  # a sweep without data needs no store

    try:
        store = open_store(space.data.store)
    except DataError as error:
        if space.data.make is None:
            raise space.error(("data", "store"), f"{error}; or add data.make to make one") from error
        if not _absent(space.data.store):
            raise
        _check_recipe(space.data, space.data.make, _needed(space.grid, space.learning_rate), space.error)
        return None
    _refuse_other_recipe(space.data, store.manifest.recipe, space.error)
    held_out, available = store.manifest.validation_structures, store.manifest.train_structures
    if space.data.validation_structures > held_out:
        raise space.error(
            ("data", "validation_structures"),
            f"{space.data.validation_structures} were asked for, the store has {held_out}; ask for fewer",
        )
    count = available if space.grid.atoms else min(available, max(at_least, _needed(space.grid, space.learning_rate)))
    cumulative = np.cumsum(store.read(store.subset(count)).n_atoms.astype(np.int64))
    facts = DataFacts(store.manifest.fingerprint, available, cumulative)
    _check_batch(space, facts)
    return facts


def _check_batch(space: Space, facts: DataFacts) -> None:
    """Raise an error where the first step of a trial passes its smallest data budget."""
    grid, batch = space.grid, space.training.batch_atoms
    if space.entrypoint is not None or facts.cumulative is None:
        return  # an entrypoint has batches of its own
    needed = _needed(grid, space.learning_rate)
    first = grid.structures[0] if grid.structures else 0
    smallest = grid.atoms[0] if grid.atoms else facts.atoms(first, max(first, needed))
    if batch > smallest:
        raise space.error(
            ("training", "batch_atoms"),
            f"a batch of {batch} atoms is more than the smallest data budget of the grid ({smallest:g} atoms); ask for "
            "a smaller batch, or a larger smallest budget",
        )


def _needed(grid: Grid, learning_rate: LearningRate) -> int:
    """Return the size of the largest training subset, as far as it is known without a store."""
    last = math.ceil(grid.structures[-1] / grid.epochs) if grid.structures else 0
    return max(max(grid.unique, default=last), learning_rate.structures or 0, *learning_rate.horizons)


def _refuse_other_recipe(data: Data, recipe: Mapping[str, JsonValue], error: ErrorAt) -> None:
    """Raise an error where the embedded source made the store by another recipe than the one that is asked for."""
    if data.make is None or recipe.get("name") != RECIPE_NAME:
        return
    found = {"preset": DEFAULT_PRESET, **recipe}
    for key, wanted in data.make.model_dump().items():
        if found[key] != wanted:
            raise error(
                ("data", "make", key),
                f"{wanted} is asked for, and the store {data.store} was made with {found[key]}; name another "
                "data.store, remove that one, or leave data.make out to take what is there",
            )


def _check_recipe(data: Data, make: MakeData, needed: int, error: ErrorAt) -> None:
    """Raise an error before minutes of labelling, not after, where the recipe cannot make enough.

    A tenth of the molecules is held out.
    """
    if needed > 0.9 * make.structures:
        raise error(
            ("data", "make", "structures"),
            f"{make.structures} leave about {0.9 * make.structures:.0f} to train on, and the largest subset needs "
            f"{needed}; make more, or ask for smaller grid.structures or learning_rate.structures",
        )
    if data.validation_structures > 0.12 * make.structures + 1:
        raise error(
            ("data", "validation_structures"),
            f"{data.validation_structures} were asked for, and data.make.structures: {make.structures} hold out about "
            f"{0.1 * make.structures:.0f}; ask for fewer, or make more",
        )


def _absent(location: str) -> bool:
    filesystem, path = open_location(location)
    return bool(filesystem.get_file_info(f"{path}/manifest.json").type == fs.FileType.NotFound)
