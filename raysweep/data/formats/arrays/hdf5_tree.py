"""The contents of an HDF5 file: groups, arrays, attributes, and links to other files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from raysweep.core.errors import DataError
from raysweep.data.formats.arrays.tables import ArrayColumn, Table
from raysweep.data.formats.fields.keyed import KNOWN

if TYPE_CHECKING:
    import h5py


@dataclass(frozen=True)
class Tree:
    """The names in an HDF5 file.

    Attributes:
        children: names in each group that has any, "" being the root; each group once, however many links lead to it.
        soft: paths of soft links.
        faults: paths that cannot be used, and why.
    """

    children: Mapping[str, list[str]]
    soft: frozenset[str]
    faults: tuple[tuple[str, str], ...]

    def above(self, group: str) -> bool:
        """Whether a group has subgroups."""
        return any(f"{group}/{name}".lstrip("/") in self.children for name in self.children.get(group, ()))

    def shape(self, file: "h5py.File", group: str, key: str) -> tuple[int, ...]:
        """The shape of an array; empty for other objects and for links out of the file."""
        name = f"{group}/{key}".lstrip("/")
        if name in self.soft and self.faults:
            return ()
        return tuple(getattr(file.get(name), "shape", None) or ())


def tree_of(file: "h5py.File") -> Tree:
    """List the contents of a file without following links to other files."""
    import h5py

    children: dict[str, list[str]] = {}
    soft, faults = set(), []

    def visit(name: bytes | str, info: Any) -> None:  # noqa: ANN401 (h5py has no types)
        path = name.decode(errors="surrogateescape") if isinstance(name, bytes) else name
        group, _, child = path.rpartition("/")
        if info.type == h5py.h5l.TYPE_EXTERNAL:
            faults.append((path, "an external link to another file, which is not followed"))
        else:
            children.setdefault(group, []).append(child)
            if info.type == h5py.h5l.TYPE_SOFT:
                soft.add(path)

    file.id.links.visit(visit, info=True)
    arrays = {key.lower() for known in KNOWN.values() for key in known}
    for group, names in children.items():
        if not arrays & {name.lower() for name in names}:
            for name in names:  # a name without children is an array or an empty group
                path = f"{group}/{name}".lstrip("/")
                leaf = path not in children and path not in soft
                if leaf and file.get(path, getclass=True) is h5py.Group and not len(file[path]):
                    faults.append((f"group {path}", "an empty group"))
    return Tree(children, frozenset(soft), tuple(faults))


def table_of(
    path: Path, file: "h5py.File", tree: Tree, group: str, where: str, known: dict[str, dict[str, ArrayColumn]]
) -> Table:
    """The arrays of a group, with its attributes and those of its parents.

    Args:
        path: of the file, for messages.
        file: the file.
        tree: its content.
        group: path of the group.
        where: for messages.
        known: cache of the parents' arrays and attributes, shared between groups.
    """
    outer: dict[str, ArrayColumn] = {}
    parts = group.split("/") if group else []
    for depth in range(len(parts)):
        above = "/".join(parts[:depth])
        if above not in known:
            known[above] = dict(_Arrays(file, tree, above, only_arrays=True)) | _attributes(file[above or "/"])
        outer |= known[above]
    outer |= _attributes(file[group or "/"])
    return Table(
        path=path,
        where=where,
        record=f"group {group}, conformation" if group else "conformation",
        columns=_Arrays(file, tree, group),
        outer=outer,
    )


class _Arrays(Mapping[str, ArrayColumn]):
    """The arrays of a group, opened on access."""

    def __init__(self, file: "h5py.File", tree: Tree, group: str, *, only_arrays: bool = False) -> None:
        self._file, self._tree, self._group = file, tree, group
        self._opened: dict[str, ArrayColumn] = {}
        self._names = {name: None for name in tree.children.get(group, []) if self._path(name) not in tree.children}
        if only_arrays:  # of the parent groups, only what may apply to everything in them
            wanted = {key.lower() for name in ("numbers", "cell", "pbc") for key in KNOWN[name]}
            wanted |= {"charge", "spin", "group"}
            self._names = {name: None for name in self._names if name.lower() in wanted or "unit" in name.lower()}

    def __getitem__(self, key: str) -> ArrayColumn:
        if key not in self._opened:
            if key not in self._names:
                raise KeyError(key)
            self._opened[key] = _column(self._file, self._tree, self._path(key))
        return self._opened[key]

    def __contains__(self, key: object) -> bool:
        return key in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def _path(self, name: str) -> str:
        return f"{self._group}/{name}".lstrip("/")


def _column(file: "h5py.File", tree: Tree, path: str) -> ArrayColumn:
    import h5py

    if path in tree.soft and tree.faults:
        raise DataError(f"{path} is a soft link in a file that has external links, so it is not followed")
    found = file.get(path)
    if not isinstance(found, h5py.Dataset):
        raise DataError(f"{path} is not an array" if found is not None else f"{path} leads to nothing")
    unit = next((found.attrs[key] for key in found.attrs if key.lower() in ("unit", "units")), None)
    is_text = h5py.check_string_dtype(found.dtype) is not None
    return ArrayColumn(
        shape=tuple(found.shape or ()) if found.shape is not None else (0,),
        kind=np.dtype("U1") if is_text else found.dtype,
        rows=partial(_rows, found, path),
        unit=None if unit is None else _text(unit),
    )


def _rows(data: "h5py.Dataset", path: str, start: int, stop: int | None) -> npt.NDArray[np.generic]:
    """Rows of an array.

    Raises:
        ValueError: they cannot be read, or are not in this file.
    """
    import h5py

    if data.external or data.is_virtual:
        raise ValueError(f"{path}: its values are in other files, which are not read")
    is_text = h5py.check_string_dtype(data.dtype) is not None
    if data.dtype.hasobject and not is_text:
        raise ValueError(f"{path}: of type {data.dtype}, rows of different lengths or references, which are not read")
    try:
        values = (data.asstr(errors="replace") if is_text else data)[start:stop] if data.shape else data[()]
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{path}: cannot be read ({error})") from error
    if is_text and not data.shape:
        values = _text(values)
    return np.asarray(values, dtype=str) if is_text else np.asarray(values)


def _attributes(group: "h5py.Group") -> dict[str, ArrayColumn]:
    found = {}
    for key in group.attrs:
        try:
            values = np.asarray(group.attrs[key])
        except (OSError, TypeError, ValueError):  # of a type that h5py cannot read, which no requested one is
            continue
        if values.dtype.hasobject:
            values = np.array([_text(one) for one in values.reshape(-1)], dtype=str).reshape(values.shape)
        if values.dtype.kind in "biufUS":
            found[str(key)] = ArrayColumn(shape=values.shape, kind=values.dtype, rows=partial(_sliced, values))
    return found


def _sliced(values: npt.NDArray[np.generic], start: int, stop: int | None) -> npt.NDArray[np.generic]:
    return values[start:stop] if values.shape else values


def _text(value: object) -> str:
    one = value.reshape(-1)[0] if isinstance(value, np.ndarray) and value.size else value
    return one.decode(errors="replace") if isinstance(one, bytes) else str(one)
