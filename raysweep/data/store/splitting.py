"""The split into training and validation structures: groups held out by share or by name, within sources if asked."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from raysweep.core.errors import DataError
from raysweep.data.elements import SYMBOLS
from raysweep.data.keys import NUMBERS
from raysweep.data.store.shards import OpenShard, view
from raysweep.data.structures import Structures

BY_STRUCTURE = (
    'Where structures of one group may be on both sides, import with group_by="structure" (--group-by structure)'
)


@dataclass(frozen=True, kw_only=True)
class Split:
    """Rules for dividing structures into a training and a validation part.

    Attributes:
        validation_fraction: share of the groups that is held out, above 0 and below 1.
        seed: of the split and of the order within each part.
        stratify: hold out that share of the groups of each source by itself; a group in several counts as in its first.
        held_out: names of the groups to hold out, instead of a share.
    """

    validation_fraction: float = 0.1
    seed: int = 0
    stratify: bool = False
    held_out: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Index:
    """The properties of structures that a split depends on, 28 bytes a structure.

    Attributes:
        group: [S] uint64, the beginning of a seeded SHA-256 of the group's name.
        elements: [S, 2] uint64, bit z is set where element z occurs.
        source: [S] int32, the part of the data set that each structure is of.
    """

    group: npt.NDArray[np.uint64]
    elements: npt.NDArray[np.uint64]
    source: npt.NDArray[np.int32]


def index_of(structures: Structures, seed: int) -> Index:
    """Index structures that are all of one source."""
    names, which = np.unique(structures.group.astype(str), return_inverse=True)
    group = group_keys(names.tolist(), seed)[which.reshape(-1)]
    return _index(structures.numbers, structures.offsets, group)


def index_of_shard(shard: OpenShard, count: int, seed: int) -> Index:
    """Index the first structures of a shard, at least one, that are all of one source."""
    offsets = shard.offsets[: count + 1]
    groups = shard.group[:count].dictionary_encode()
    group = group_keys(groups.dictionary.to_pylist(), seed)[view(groups.indices)]
    return _index(cast(npt.NDArray[np.uint8], shard.arrays[NUMBERS][: offsets[-1]]), offsets, group)


def _index(numbers: npt.NDArray[np.uint8], offsets: npt.NDArray[np.integer], group: npt.NDArray[np.uint64]) -> Index:
    bits = np.zeros((256, 2), dtype=np.uint64)
    for z in range(128):
        bits[z, z // 64] = np.uint64(1) << np.uint64(z % 64)
    elements = np.bitwise_or.reduceat(bits.take(numbers, axis=0), offsets[:-1], axis=0)
    return Index(group=group, elements=elements, source=np.zeros(len(group), dtype=np.int32))


def group_keys(names: Collection[str], seed: int) -> npt.NDArray[np.uint64]:
    """Map names to numbers whose order is a seeded order of the names."""
    digests = (hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8] for name in names)
    return np.array([int.from_bytes(digest, "big") for digest in digests], dtype=np.uint64)


def split(
    structures: Structures, validation_fraction: float, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Divide structures in memory into the rows of a training and of a validation part; see `split_index`."""
    return split_index(index_of(structures, seed), Split(validation_fraction=validation_fraction, seed=seed))


def split_index(index: Index, how: Split) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Divide structures into the rows of a training and of a validation part, each in its seeded order.

    Groups are ranked by a seeded hash of their name and the first share of them is held out, so that a group's side
    does not depend on the order of the structures. Groups with an element that no training group has are moved to
    the training part: their reference energy could not be known otherwise.

    Args:
        index: of the structures, taken with the split's seed.
        how: the share or the groups to hold out.

    Raises:
        DataError: the fraction is not between 0 and 1, there are fewer than two groups, a name to hold out is not among
            theirs, or an element would occur only in the groups held out by name.
    """
    if how.held_out is None and not 0 < how.validation_fraction < 1:
        raise DataError(f"validation_fraction is {how.validation_fraction}; it must be above 0 and below 1")
    groups, first, owner = np.unique(index.group, return_index=True, return_inverse=True)
    _refuse_indivisible(len(index.group), len(groups))
    if how.held_out is not None:
        chosen = _named(groups, how.held_out, how.seed)
    elif how.stratify:
        chosen = _strata(index.source[first], how.validation_fraction)
    else:
        chosen = np.arange(len(groups)) < _held_out_of(len(groups), how.validation_fraction)
    chosen = _without_lone_elements(index, chosen, owner, by_name=how.held_out is not None)
    in_validation = chosen[owner]
    parts = np.flatnonzero(~in_validation), np.flatnonzero(in_validation)
    train, validation = (np.random.default_rng([how.seed, i]).permutation(rows) for i, rows in enumerate(parts))
    return train, validation


def _refuse_indivisible(structures: int, groups: int) -> None:
    if structures == 1:
        raise DataError("1 structure cannot be split; at least 2 are needed, one to train on and one to validate on")
    if groups < 2:
        raise DataError(
            f"structures of {groups} group(s) cannot be split by group; at least 2 groups are needed. " + BY_STRUCTURE
        )


def _held_out_of(groups: int, share: float) -> int:
    """The number of groups to hold out: at least one, and at least one remains."""
    return min(max(round(share * groups), 1), groups - 1)


def _named(groups: npt.NDArray[np.uint64], names: Collection[str], seed: int) -> npt.NDArray[np.bool_]:
    keys = group_keys(names, seed)
    unknown = [name for name, there in zip(names, np.isin(keys, groups), strict=True) if not there]
    if unknown:
        shown = ", ".join(map(repr, unknown[:3]))
        raise DataError(f"{len(unknown)} of {len(names)} groups to hold out are not among the structures': {shown}")
    chosen = np.isin(groups, keys)
    if chosen.all() or not chosen.any():
        raise DataError(f"{int(chosen.sum())} of {len(groups)} groups are to be held out: one side would be empty")
    return chosen


def _strata(source: npt.NDArray[np.int32], share: float) -> npt.NDArray[np.bool_]:
    """Choose the groups to hold out, given the source of each, in the order of their ranks."""
    chosen = np.zeros(len(source), dtype=bool)
    for one in np.unique(source):
        mine = np.flatnonzero(source == one)
        chosen[mine[: _held_out_of(len(mine), share)]] = True
    if not chosen.any():
        raise DataError(f"no source has two groups, so none can be split; do not stratify. {BY_STRUCTURE}")
    return chosen


def _without_lone_elements(
    index: Index, chosen: npt.NDArray[np.bool_], owner: npt.NDArray[np.int64], *, by_name: bool
) -> npt.NDArray[np.bool_]:
    held = chosen[owner]
    there, here = (np.bitwise_or.reduce(index.elements[rows], axis=0) for rows in (held, ~held))
    alone = there & ~here
    if not alone.any():
        return chosen
    if by_name:
        names = [SYMBOLS[z] for z in range(len(SYMBOLS)) if alone[z // 64] >> np.uint64(z % 64) & np.uint64(1)]
        raise DataError(f"{', '.join(names)} occurs in the groups to hold out alone: its reference energy is not known")
    back = np.zeros(len(chosen), dtype=bool)
    back[owner[(index.elements & alone).any(axis=1)]] = True
    return chosen & ~back
