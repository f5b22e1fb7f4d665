"""YAML with line numbers, so that errors of a search space read `file:line: key: reason`."""

import difflib
import re
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from raysweep.core.errors import SpaceError

Key = str | int
ErrorAt = Callable[[Sequence[Key], str], SpaceError]
"""Makes the error about a key, from its path and a reason (`Space.error`)."""
Value = object
"""What YAML holds: mappings, lists, texts, numbers, booleans, nothing."""

MAX_NODES = 100_000
"""More nodes than any search space needs: nested aliases ("billion laughs") are refused before they are unfolded."""
MAX_BYTES = 10_000_000
MAX_DEPTH = 20
_TAG = "tag:yaml.org,2002:"
_TEXTS = frozenset({f"{_TAG}{kind}" for kind in ("str", "timestamp", "value", "merge")})
"""The core schema of YAML 1.2 (10.3) has no dates, and `=` and `<<` mean nothing as values: they are texts."""
_PLAIN = frozenset({f"{_TAG}{kind}" for kind in ("null", "bool", "int", "float")})
_SHORT_FLOAT = re.compile(r"[-+]?\.[0-9]+([eE][-+]?[0-9]+)?")
"""The one form of the core schema's numbers that ruamel.yaml takes for a text, as in .5e3."""


@dataclass(frozen=True)
class Source:
    """A YAML text as values, with the line (from 1) of every key and item."""

    name: str
    value: Value
    lines: dict[tuple[Key, ...], int] = field(default_factory=dict)
    overridden: dict[tuple[str, ...], str] = field(default_factory=dict)

    def place(self, path: Sequence[Key]) -> str:
        """Return where a key was written: `file:line`, or the override that set it."""
        prefixes = [tuple(path[:length]) for length in range(len(path), -1, -1)]
        for prefix in prefixes:  # first, since what the file has below an override is no longer there
            if (typed := tuple(map(str, prefix))) in self.overridden:
                return f"override {self.overridden[typed]!r}"
        typed = tuple(map(str, path))
        below = [f"override {given!r}" for key, given in self.overridden.items() if typed and key[: len(path)] == typed]
        line = next((f":{self.lines[prefix]}" for prefix in prefixes if prefix in self.lines), "")
        return f"{self.name}{line}{f' with {below[-1]}' if below else ''}"

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
    place = Path(path).expanduser()
    try:
        found = place.stat()  # a pipe without a writer would be waited for
        if not stat.S_ISREG(found.st_mode):
            raise SpaceError(f"{path}: not a file; give the path of a YAML file")
        if found.st_size > MAX_BYTES:
            raise SpaceError(f"{path}: {found.st_size} bytes, no search space; give the path of a YAML file")
        text = place.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise SpaceError(f"{path}: no such search space; give the path of a YAML file") from error
    except UnicodeDecodeError as error:
        raise SpaceError(f"{path}: not a UTF-8 text ({error.reason}, byte {error.start}); save it as UTF-8") from error
    except (OSError, ValueError) as error:  # a NUL in the path is a ValueError
        reason = error.strerror if isinstance(error, OSError) else error
        raise SpaceError(f"{str(path)!r}: cannot be read: {reason}; give the path of a YAML file") from error
    return parse(text, place.name)


def parse(text: str, name: str) -> Source:
    """Return the values and lines of a YAML text; `name` stands for the file in errors (see `read`).

    Numbers, booleans and null are those of YAML 1.2's core schema: 0100 is a hundred, `on` and `1:30` are texts.
    """
    lines: dict[tuple[Key, ...], int] = {}
    try:
        node = YAML(typ="safe", pure=True).compose(text)
        value = None if node is None else _Reading(name, lines).value(node, ())
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        reason = "; ".join(text for text in (error.context, error.problem) if text)
        raise SpaceError(f"{name}:{line}: not plain YAML: {reason}") from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        character = chr(error.character) if isinstance(error.character, int) else error.character
        raise SpaceError(f"{name}:{line}: not plain YAML: the character {character!r} is not allowed") from error
    except RecursionError as error:
        raise SpaceError(f"{name}: nested too deeply, or an alias within its own anchor; write it flat") from error
    except YAMLError as error:
        raise SpaceError(f"{name}: not plain YAML: {error}") from error
    return Source(name, value, lines)


class _Reading:
    """Converts nodes to values and records the lines of keys and items."""

    def __init__(self, name: str, lines: dict[tuple[Key, ...], int]) -> None:
        self._name, self._lines, self._count = name, lines, 0
        self._constructor = YAML(typ="safe", pure=True).constructor

    def value(self, node: Node, path: tuple[Key, ...]) -> Value:
        """Return the value of a node and of all below it."""
        self._lines.setdefault(path, node.start_mark.line + 1)
        self._count += 1
        if self._count > MAX_NODES:
            raise SpaceError(f"{self._name}: more than {MAX_NODES} values; write the search space without such aliases")
        if isinstance(node, MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, path)
        if isinstance(node, SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        raise self._error(node, path, f"not plain YAML: tag {node.tag}; leave it out")

    def _mapping(self, node: MappingNode, path: tuple[Key, ...]) -> dict[str, Value]:
        """Return a mapping; keys that are merged in by `<<: *anchor` give way to those that are written in it."""
        merges = [(key.start_mark.line + 1, of) for key, of in node.value if key.tag == f"{_TAG}merge"]
        own = [(key, of) for key, of in node.value if key.tag != f"{_TAG}merge"]
        found = {self._key(key, path): self.value(of, (*path, str(key.value))) for key, of in own}
        for line, merge in merges:
            for one in merge.value if isinstance(merge, SequenceNode) else [merge]:
                merged = self.value(one, (*path, "<<"))
                if not isinstance(merged, dict):
                    raise self._error(one, (*path, "<<"), "only mappings can be merged in; write <<: *anchor of one")
                found = {**merged, **found}
                for key in merged:
                    self._lines.setdefault((*path, key), line)
        return found

    def _key(self, node: Node, path: tuple[Key, ...]) -> str:
        if not isinstance(node, ScalarNode):
            raise self._error(node, path, "a mapping or list cannot be a key; write a name")
        inner = (*path, str(node.value))
        if inner in self._lines:
            raise self._error(node, inner, f"written twice (first in line {self._lines[inner]})")
        self._lines[inner] = node.start_mark.line + 1
        return str(node.value)

    def _scalar(self, node: ScalarNode, path: tuple[Key, ...]) -> Value:
        text = str(node.value)
        if node.tag in _TEXTS:
            return float(text) if node.style is None and _SHORT_FLOAT.fullmatch(text) else text
        if node.tag not in _PLAIN:
            raise self._error(node, path, f"not plain YAML: tag {node.tag}; leave it out")
        try:
            value: Value = self._constructor.construct_object(node)
        except (ValueError, KeyError, OverflowError) as error:  # such as `!!int x`, or thousands of digits
            kind = str(node.tag).removeprefix(_TAG)
            raise self._error(node, path, f"{text!r:.80} cannot be read as {kind}; write a plain value") from error
        return value

    def _error(self, node: Node, path: tuple[Key, ...], reason: str) -> SpaceError:
        key = f" {'.'.join(map(str, path))}:" if path else ""
        return SpaceError(f"{self._name}:{node.start_mark.line + 1}:{key} {reason}")


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
        path = tuple(key.strip().split("."))
        if not equals or not all(path):
            raise SpaceError(f"override {assignment!r}: write key=value, such as grid.seeds=[0,1]")
        if "[" in key:
            dotted = key.replace("[", ".").replace("]", "")
            raise SpaceError(f"override {assignment!r}: items of lists are named with dots: {dotted}={text}")
        if len(path) > MAX_DEPTH:
            raise SpaceError(f"override {assignment!r:.80}: no key of a search space is nested so deeply")
        value = _assign(value, path, parse(text, f"override {assignment!r}").value, assignment)
        overridden[path] = assignment
    return Source(source.name, value, source.lines, overridden)


def _assign(value: Value, path: Sequence[str], new: Value, assignment: str) -> Value:
    if not path:
        return new
    if isinstance(value, list):
        if path[0] not in map(str, range(len(value))):
            raise SpaceError(f"override {assignment!r}: {path[0]!r} is not an index below {len(value)}")
        index = int(path[0])
        return [*value[:index], _assign(value[index], path[1:], new, assignment), *value[index + 1 :]]
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise SpaceError(f"override {assignment!r}: {path[0]!r} is below a single value ({value!r})")
    return {**value, path[0]: _assign(value.get(path[0]), path[1:], new, assignment)}
