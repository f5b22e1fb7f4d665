"""Error messages of search spaces, with the line and the remedy."""

import math
import re
import types
import typing

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from raysweep.core.errors import SpaceError
from raysweep.sweep.space.parts import Ladder
from raysweep.sweep.space.yaml_lines import Key, Source, nearest

_SEARCH_WORDS = frozenset({"low", "high", "min", "max", "choice", "uniform", "loguniform", "search", "tune", "asha"})
_ONLY_THE_RATE = (
    "only the learning rate is searched (Optuna with ASHA): ASHA stops trials early, and a run that was cut short "
    "would bend the frontier. List the values to compare in families.LABEL.sizes, in grid, or as families of their own"
)

LONGEST_SHOWN = 80
"""Characters of a value in a message."""


def refuse_other_searches(source: Source) -> None:
    """Raise a SpaceError where a value outside `learning_rate` is written as a range to search."""

    def visit(value: object, path: tuple[Key, ...]) -> None:
        if path[:1] == ("learning_rate",) and path[:2] not in ((), ("learning_rate",)):
            if isinstance(value, dict) and path[:2] != ("learning_rate", "rates"):
                raise source.error(path, f"a mapping is not allowed here: {_ONLY_THE_RATE}")
            return
        if isinstance(value, dict):
            if (
                path
                and path[0] != "learning_rate"
                and value
                and set(map(str, value)) <= _SEARCH_WORDS | {"log", "type"}
            ):
                raise source.error(path, _ONLY_THE_RATE)
            for key, inner in value.items():
                visit(inner, (*path, str(key)))
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                visit(inner, (*path, index))

    visit(source.value, ())


def refuse_unusable_numbers(source: Source, model: type[BaseModel]) -> None:
    """Raise a SpaceError where infinity, no number, or one beyond all bounds is written, or a text for a number.

    Pydantic itself would accept `true` as 1 and "3" as 3.
    """

    def visit(value: object, annotation: object, path: tuple[Key, ...]) -> None:
        inside = _inside(annotation)
        fields = inside.model_fields if isinstance(inside, type) and issubclass(inside, BaseModel) else None
        if isinstance(value, dict):
            for key, inner in value.items():
                info = fields.get(str(_FIELDS.get(key, key))) if fields else None
                of = info.annotation if info else None if fields else annotation
                visit(inner, _LADDER if (*path[:1], *path[2:], key) == _LADDER_PATH else of, (*path, str(key)))
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                visit(inner, annotation, (*path, index))
        elif value is not None:
            reason = _unusable(value, _scalars(annotation), path)
            if reason:
                meaning = _description(model, path)
                raise source.error(path, f"{reason}, not {_shown(value)}{f' ({meaning})' if meaning else ''}")

    visit(source.value, model, ())


_FIELDS: dict[object, str] = {"from": "start", "to": "stop"}
"""Keys whose field has another name."""
_LADDER_PATH = ("families", "sizes", "params")
_LADDER = Ladder
_MAY_BE_INFINITE = ("training", "optimizer", "clip_norm")
_LARGEST, _SMALLEST, _LARGEST_WHOLE = 1e30, 1e-30, 2**53
"""Limits of numbers in a search space: beyond them products overflow, and counts lose digits."""


def _unusable(value: object, kinds: frozenset[type], path: tuple[Key, ...]) -> str | None:
    """Return the kind of value that a scalar should be, or None if it is usable."""
    if isinstance(value, bool | str):
        number = kinds & {int, float}
        wrong = number and (kinds == number or (isinstance(value, bool) and bool not in kinds))
        hint = "; infinity is written .inf" if isinstance(value, str) and value.lower() in ("inf", "infinity") else ""
        return f"Input should be a number{hint}" if wrong else None
    if not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        if path == _MAY_BE_INFINITE and value > 0:
            return None
        return "Input should be a finite number; leave the key out where there is no limit"
    if kinds == {int} and abs(value) > _LARGEST_WHOLE:
        return f"Input should be at most 2^53 ({_LARGEST_WHOLE:.3g})"
    if kinds & {int, float} and (abs(value) > _LARGEST or 0 < abs(value) < _SMALLEST):
        return f"Input should be 0, or between {_SMALLEST:g} and {_LARGEST:g} in size"
    return None


def _scalars(annotation: object) -> frozenset[type]:
    """Collect the types of all scalars that an annotation allows."""
    if isinstance(annotation, type):
        return frozenset({annotation}) & {int, float, bool, str}
    if typing.get_origin(annotation) is typing.Literal:
        return frozenset(type(value) for value in typing.get_args(annotation))
    arguments = typing.get_args(annotation)
    arguments = arguments[:1] if typing.get_origin(annotation) is typing.Annotated else arguments
    arguments = arguments[1:] if typing.get_origin(annotation) is dict else arguments
    return frozenset().union(*map(_scalars, arguments))


def _shown(value: object) -> str:
    """Format a value as YAML writes it, shortened where it is long."""
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return {"inf": ".inf", "-inf": "-.inf"}.get(str(value), ".nan")
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


def first_error(source: Source, error: ValidationError, model: type[BaseModel]) -> SpaceError:
    """Make one SpaceError of all errors that pydantic found, in their order."""
    found: dict[tuple[Key, ...], list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        path = _path(source, details["loc"], details["type"])
        found.setdefault(path, []).append(details)
    lines = [
        str(source.error(*_at_its_key(path, _reason(path, all_, model), model)))
        for path, all_ in found.items()
        # Pydantic counts items after dropping the invalid ones.
        if all_[0]["type"] != "too_short" or not any(other[:-1] == path for other in found)
    ]
    return SpaceError("\n".join(lines))


def _at_its_key(path: tuple[Key, ...], reason: str, model: type[BaseModel]) -> tuple[tuple[Key, ...], str]:
    """Return the path of the key that the reason of a mapping begins with, and the rest of the reason."""
    key, colon, rest = reason.partition(": ")
    return ((*path, key), rest) if colon and key in _known(model, path) else (path, reason)


def _path(source: Source, loc: tuple[Key, ...], kind: str) -> tuple[Key, ...]:
    """Translate pydantic's location into the path of a key: it names members of unions, and rows of sizes."""
    path = tuple(part for part in loc if part != "[key]")
    if path[2:3] == ("ladder",):
        return (*path[:2], "sizes", "params", *path[3:])
    if path[2:3] == ("sizes",) and isinstance(_value_at(source, path[:3]), dict):
        return (*path[:3], *path[4:5], *path[3:4])
    while path and kind not in ("missing", "extra_forbidden") and not _is_there(source, path):
        path = path[:-1]
    return path


def _value_at(source: Source, path: tuple[Key, ...]) -> object:
    value = source.value
    for part in path:
        value = value[part] if _holds(value, part) else None  # type: ignore[index]
    return value


def _is_there(source: Source, path: tuple[Key, ...]) -> bool:
    return _holds(_value_at(source, path[:-1]), path[-1])


def _holds(value: object, part: Key) -> bool:
    if isinstance(value, list):
        return isinstance(part, int) and part < len(value)
    return isinstance(value, dict) and part in value


_WORDS = {
    **dict.fromkeys(("tuple_type", "list_type"), "a list"),
    **dict.fromkeys(("dict_type", "model_type"), "a mapping"),
    "int_type": "a number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
}


def _reason(path: tuple[Key, ...], errors: list[ErrorDetails], model: type[BaseModel]) -> str:
    details = errors[0]
    kind, value = details["type"], details.get("input")
    meaning = _description(model, path)
    meant = f" ({meaning})" if meaning else ""
    if kind == "extra_forbidden":
        return "unknown key" + nearest(str(path[-1]), _known(model, path[:-1]))
    if kind == "missing":
        return f"missing: {meaning or 'needs a value'}"
    if kind == "value_error":
        return str(details["ctx"]["error"])
    if "[key]" in details["loc"]:
        return f"not a name: {details['msg']}"
    if kind == "literal_error" and len(errors) == 1:
        known = re.findall("'([^']*)'", details["ctx"]["expected"])
        return f"{details['msg']}, not {_shown(value)}{nearest(value, known) if isinstance(value, str) else ''}{meant}"
    wanted = dict.fromkeys(_WORDS.get(one["type"], one["msg"].removeprefix("Input should be ")) for one in errors)
    start = "Input should be " if details["msg"].startswith("Input should be ") else ""
    return f"{start}{' or '.join(wanted)}, not {_shown(value)}{meant}"


def _known(model: type[BaseModel], path: tuple[Key, ...]) -> list[str]:
    found = _model_at(model, path)
    return [key for key in found.model_fields if key != "ladder"] if found else []  # what `sizes` may be read as


def _description(model: type[BaseModel], path: tuple[Key, ...]) -> str | None:
    for length in range(len(path), 0, -1):
        holder = _model_at(model, path[: length - 1])
        if holder and path[length - 1] in holder.model_fields:
            return holder.model_fields[str(path[length - 1])].description
    return None


def _model_at(model: type[BaseModel], path: tuple[Key, ...]) -> type[BaseModel] | None:
    """Return the model that describes the mapping at a path."""
    kind: object = model
    for part in path:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            info = kind.model_fields.get(str(part))
            kind = _inside(info.annotation) if info else None
        else:
            kind = _inside(_element(kind))
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _inside(annotation: object) -> object:
    """Strip `None` and `Annotated` from an annotation."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _inside(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return _inside(next(arg for arg in typing.get_args(annotation) if arg is not type(None)))
    return annotation


def _element(annotation: object) -> object:
    """Return the annotation of a mapping's values or a sequence's items."""
    arguments = typing.get_args(annotation)
    if not arguments:
        return None
    return arguments[1] if typing.get_origin(annotation) is dict else arguments[0]
