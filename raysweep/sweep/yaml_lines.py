"""YAML that remembers its lines: what lets an error of a search space say `file:line: key: reason`."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from raysweep.errors import SpaceError

Key = str | int
Value = object
"""What YAML holds: mappings, lists, texts, numbers, booleans, nothing."""

MAX_NODES = 100_000
"""More nodes than any search space needs: nested aliases ("billion laughs") are refused before they are unfolded."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which builds plain values only, with floats as in YAML 1.2."""


# YAML 1.1 reads 1e-3 (no dot) as a text; a search space is full of such numbers (YAML 1.2, core schema, 10.3.2).
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)([eE][-+]?\d+)$"),
    list("-+0123456789."),
)


@dataclass(frozen=True)
class Source:
    """A YAML text as values, with the line (from 1) of every key and item."""

    name: str
    value: Value
    lines: dict[tuple[Key, ...], int] = field(default_factory=dict)
    overridden: dict[tuple[Key, ...], str] = field(default_factory=dict)

    def place(self, path: Sequence[Key]) -> str:
        """Return where a key was written: `file:line`, or the override that set it."""
        for length in range(len(path), -1, -1):
            prefix = tuple(path[:length])
            if prefix in self.overridden:
                return f"override {self.overridden[prefix]!r}"
            if prefix in self.lines:
                return f"{self.name}:{self.lines[prefix]}"
        return self.name

    def error(self, path: Sequence[Key], reason: str) -> SpaceError:
        """Return the error to raise about the key at a path."""
        key = ".".join(str(part) for part in path)
        return SpaceError(f"{self.place(path)}: {key}: {reason}" if key else f"{self.place(path)}: {reason}")


def nearest(key: str, known: Iterable[str]) -> str:
    """Return `; nearest: x` for the known key that looks most like it, else the list of the known keys."""
    names = sorted(known)
    matches = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    if matches:
        return f"; nearest: {matches[0]}"
    return f"; known: {', '.join(names)}" if names else ""


def read(path: str | Path) -> Source:
    """Return a YAML file's values and lines.

    Raises:
        SpaceError: no such file, not YAML, a tag that would build an object, a key written twice.
    """
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SpaceError(f"{path}: no such search space; give the path of a YAML file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SpaceError(f"{path}: cannot be read as a UTF-8 text: {error}") from error
    return parse(text, Path(path).name)


def parse(text: str, name: str) -> Source:
    """Return the values and lines of a YAML text; `name` stands for the file in errors (see `read`)."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        lines: dict[tuple[Key, ...], int] = {}
        if node is not None:
            _walk(node, (), lines, name)
        value = loader.construct_document(node) if node is not None else None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SpaceError(f"{name}:{line}: not plain YAML: {error.problem}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise SpaceError(f"{name}: not plain YAML, or nested too deeply: {error}") from error
    finally:
        loader.dispose()
    return Source(name, value, lines)


def _walk(node: yaml.Node, path: tuple[Key, ...], lines: dict[tuple[Key, ...], int], name: str) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
    if len(lines) > MAX_NODES:
        raise SpaceError(f"{name}: more than {MAX_NODES} values; write the search space without nested aliases")
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            inner = (*path, str(key_node.value))
            if inner in lines and key_node.value != "<<":
                place = f"{name}:{key_node.start_mark.line + 1}"
                raise SpaceError(f"{place}: {'.'.join(map(str, inner))}: written twice (first in line {lines[inner]})")
            lines[inner] = key_node.start_mark.line + 1
            _walk(value_node, inner, lines, name)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*path, index), lines, name)


def override(source: Source, assignments: Sequence[str]) -> Source:
    """Return the source with `a.b.c=value` assignments applied; values are YAML, absent mappings are made.

    Raises:
        SpaceError: an assignment without `=`, or a path through something that is not a mapping or a list.
    """
    if not assignments:
        return source
    value = source.value
    overridden = dict(source.overridden)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise SpaceError(f"override {assignment!r}: write key=value, such as grid.seeds=[0,1]")
        path = tuple(key.strip().split("."))
        value = _assign(value, path, parse(text, f"override {assignment!r}").value, assignment)
        overridden[path] = assignment
    return Source(source.name, value, source.lines, overridden)


def _assign(value: Value, path: Sequence[str], new: Value, assignment: str) -> Value:
    if not path:
        return new
    if isinstance(value, list):
        if not path[0].isdigit() or int(path[0]) >= len(value):
            raise SpaceError(f"override {assignment!r}: {path[0]!r} is not an index below {len(value)}")
        index = int(path[0])
        return [*value[:index], _assign(value[index], path[1:], new, assignment), *value[index + 1 :]]
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise SpaceError(f"override {assignment!r}: {path[0]!r} lies below a single value ({value!r})")
    return {**value, path[0]: _assign(value.get(path[0]), path[1:], new, assignment)}
