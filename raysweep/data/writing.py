"""Writing a store: split by group, put into the seeded order, measure, and write whole or not at all."""

import hashlib
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pyarrow import fs
from pydantic import JsonValue

from raysweep.data.manifest import MANIFEST_NAME, Manifest, Shard, manifest_bytes
from raysweep.data.shards import shard_bytes
from raysweep.data.store import Store, open_store, residual
from raysweep.data.structures import OPTIONAL, Structures
from raysweep.errors import DataError
from raysweep.files import digest, open_location, read_whole, write_whole

STRUCTURES_PER_SHARD = 65_536


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where structures come from and what determined them; goes into the manifest as it is."""

    source: str
    licence: str
    recipe: Mapping[str, JsonValue] = field(default_factory=dict)
    made_with: Mapping[str, str] = field(default_factory=dict)
    rejected: Mapping[str, int] = field(default_factory=dict)


def write_store(
    location: str | Path,
    structures: Structures,
    provenance: Provenance,
    *,
    validation_fraction: float,
    seed: int,
    structures_per_shard: int = STRUCTURES_PER_SHARD,
) -> Store:
    """Split structures by group, shuffle each part by the seed, and write them as a store.

    Args:
        location: a folder that is absent or empty, or a `pyarrow.fs` URI.
        structures: at least two groups; `residual` is not looked at.
        provenance: goes into the manifest.
        validation_fraction: share of the groups that is held out, above 0 and below 1.
        seed: of the split and of the two orders.
        structures_per_shard: how many structures one file holds.

    Raises:
        DataError: the location is taken, values are not finite, or the groups cannot be split.
    """
    filesystem, path = open_location(location)
    refuse_taken(filesystem, path)
    _refuse_unusable(structures)
    train, validation = split(structures, validation_fraction, seed)
    ordered = structures.take(np.concatenate([train, validation]))
    files = [
        shard_bytes(ordered.take(np.arange(start, min(start + structures_per_shard, len(ordered)))))
        for start in range(0, len(ordered), structures_per_shard)
    ]
    counts = [min(structures_per_shard, len(ordered) - i * structures_per_shard) for i in range(len(files))]
    shards = tuple(
        Shard(name=f"shard-{i:05d}.arrow", sha256=digest(data), bytes=len(data), structures=count)
        for i, (data, count) in enumerate(zip(files, counts, strict=True))
    )
    manifest = describe(ordered, len(train), shards, provenance)
    contents = [(shard.name, data) for shard, data in zip(shards, files, strict=True)]
    _place(filesystem, path, [*contents, (MANIFEST_NAME, manifest_bytes(manifest))])
    return open_store(location)


def standing_store(location: str | Path, recipe: Mapping[str, JsonValue]) -> Store | None:
    """Return the store that stands at the location if the same recipe made it, None where there is nothing.

    Raises:
        DataError: something else stands there, or a store of another recipe.
    """
    filesystem, path = open_location(location)
    if read_whole(filesystem, f"{path}/{MANIFEST_NAME}") is None:
        refuse_taken(filesystem, path)
        return None
    store = open_store(location)
    found = store.manifest.recipe
    differing = [key for key in {**recipe, **found} if recipe.get(key) != found.get(key)]
    if differing:
        shown = ", ".join(f"{key} is {found.get(key)!r}, asked for {recipe.get(key)!r}" for key in differing)
        raise DataError(
            f"store {location}: another recipe made it ({shown}). Choose another location, or remove that folder"
        )
    return store


def split(
    structures: Structures, validation_fraction: float, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the rows of the training and of the validation part, each in its seeded order.

    Groups are ranked by a seeded hash of their name and the first share of them is held out, so that a group's side
    does not depend on the order of the structures. Groups with an element that no training group has are moved to
    the training part: their reference energy could not be known otherwise.

    Raises:
        DataError: the fraction is not between 0 and 1, or there are fewer than two groups.
    """
    if not 0 < validation_fraction < 1:
        raise DataError(f"validation_fraction is {validation_fraction}; it must lie above 0 and below 1")
    names, owner = np.unique(structures.group.astype(str), return_inverse=True)
    if len(names) < 2:
        raise DataError(f"structures of {len(names)} group(s) cannot be split by group; at least 2 groups are needed")
    ranks = np.argsort([hashlib.sha256(f"{seed}:{name}".encode()).hexdigest() for name in names], kind="stable")
    wanted = min(max(round(validation_fraction * len(names)), 1), len(names) - 1)
    held_out = np.zeros(len(names), dtype=bool)
    held_out[ranks[:wanted]] = True
    has_element = np.zeros((len(names), 256), dtype=bool)
    has_element[np.repeat(owner, structures.n_atoms), structures.numbers] = True
    alone = has_element[held_out].any(axis=0) & ~has_element[~held_out].any(axis=0)
    held_out &= ~has_element[:, alone].any(axis=1)
    in_validation = held_out[owner]
    parts = np.flatnonzero(~in_validation), np.flatnonzero(in_validation)
    first, second = (np.random.default_rng([seed, i]).permutation(rows) for i, rows in enumerate(parts))
    return first, second


def describe(ordered: Structures, train_structures: int, shards: tuple[Shard, ...], provenance: Provenance) -> Manifest:
    """Return the manifest of structures in row order, the first `train_structures` of which are the training part."""
    train = ordered.head(train_structures)
    reference = reference_energies(train)
    table = np.full(256, np.nan)
    table[list(reference)] = list(reference.values())
    per_atom = residual(train, table) / train.n_atoms
    return Manifest(
        fingerprint=fingerprint(ordered, train_structures),
        elements=tuple(int(z) for z in np.unique(ordered.numbers)),
        structures=len(ordered),
        atoms=len(ordered.numbers),
        train_structures=len(train),
        validation_structures=len(ordered) - len(train),
        train_atoms=len(train.numbers),
        validation_atoms=len(ordered.numbers) - len(train.numbers),
        train_groups=len(set(train.group)),
        validation_groups=len(set(ordered.group[train_structures:])),
        reference_energies=reference,
        rms_force=float(np.sqrt(np.mean(np.square(train.forces, dtype=np.float64)))),
        rms_energy=float(np.sqrt(np.mean(np.square(per_atom)))),
        rejected=dict(provenance.rejected),
        source=provenance.source,
        licence=provenance.licence,
        recipe=dict(provenance.recipe),
        made_with=dict(provenance.made_with),
        shards=shards,
    )


def reference_energies(train: Structures) -> dict[int, float]:
    """Return the energy in eV of each element that occurs: the least-squares fit of energies to compositions.

    Where compositions do not determine them (all structures alike), the solution of least norm is taken.
    """
    elements, columns = np.unique(train.numbers, return_inverse=True)
    owner = np.repeat(np.arange(len(train)), train.n_atoms)
    cells = owner * len(elements) + columns
    counts = np.bincount(cells, minlength=len(train) * len(elements)).reshape(len(train), len(elements))
    energies, *_ = np.linalg.lstsq(counts.astype(np.float64), train.energy)
    return {int(z): float(energy) for z, energy in zip(elements, energies, strict=True)}


def fingerprint(ordered: Structures, train_structures: int) -> str:
    """Return a SHA-256 over every field of the structures in row order and over where the training part ends."""
    total = hashlib.sha256(f"structures/1 train={train_structures}\n".encode())
    for name in ("numbers", "positions", "forces", "n_atoms", "energy", "group", *OPTIONAL):
        values = getattr(ordered, name)
        if values is None:
            continue
        if name == "group":
            data = "\0".join(values).encode()
        else:
            data = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"))).tobytes()
        total.update(f"{name} {len(data)} {hashlib.sha256(data).hexdigest()}\n".encode())
    return total.hexdigest()


def _refuse_unusable(structures: Structures) -> None:
    for name in ("positions", "forces", "energy"):
        if not np.isfinite(getattr(structures, name)).all():
            raise DataError(f"structures: {name} holds values that are not finite; leave those structures out")
    if len(structures) and int(structures.n_atoms.min()) < 1:
        raise DataError("structures: a structure has no atoms; leave it out")
    if not np.any(structures.forces):
        raise DataError("structures: all forces are zero; give labelled structures")


def refuse_taken(filesystem: fs.FileSystem, path: str) -> None:
    """Raise where a store cannot be placed at `path`.

    Raises:
        DataError: there is a file or a folder that is not empty.
    """
    info = filesystem.get_file_info(path)
    if info.type == fs.FileType.File:
        raise DataError(f"{path}: a file is in the place of the store's folder. Choose another location")
    if info.type == fs.FileType.Directory and filesystem.get_file_info(fs.FileSelector(path)):
        raise DataError(f"{path}: the folder is not empty and would be overwritten. Choose another location")


def _place(filesystem: fs.FileSystem, path: str, contents: list[tuple[str, bytes]]) -> None:
    """Write all files into a temporary sibling folder and rename it; on an object store the manifest comes last."""
    if not isinstance(filesystem, fs.LocalFileSystem):
        for name, data in contents:
            write_whole(filesystem, f"{path}/{name}", data)
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.name}.writing-{uuid.uuid4().hex}"
    temporary.mkdir()
    try:
        for name, data in contents:
            write_whole(filesystem, str(temporary / name), data)
        temporary.replace(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
