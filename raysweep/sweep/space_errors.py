"""Errors of search spaces in words that lead to the line and the remedy."""

import re
import types
import typing

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from raysweep.errors import SpaceError
from raysweep.sweep.yaml_lines import Key, Source, nearest

_SEARCH_WORDS = frozenset({"low", "high", "min", "max", "choice", "uniform", "loguniform", "search", "tune", "asha"})
_ONLY_THE_RATE = (
    "only the learning rate is searched (Optuna with ASHA): ASHA stops trials early, and a run that was cut short "
    "would bend the frontier. List the values to compare in families.LABEL.sizes, in grid, or as families of their own"
)


def refuse_other_searches(source: Source) -> None:
    """Raise a SpaceError where a value outside `learning_rate` is written as a range to search."""

    def visit(value: object, path: tuple[Key, ...]) -> None:
        if path[:1] == ("learning_rate",) and path[:2] not in ((), ("learning_rate",)):
            if isinstance(value, dict) and path[:2] != ("learning_rate", "rates"):
                raise source.error(path, f"a mapping cannot stand here: {_ONLY_THE_RATE}")
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


def first_error(source: Source, error: ValidationError, model: type[BaseModel]) -> SpaceError:
    """Return one SpaceError for all that pydantic found, the first of them first."""
    lines = [_line(source, details["loc"], details, model) for details in error.errors(include_url=False)]
    return SpaceError("\n".join(dict.fromkeys(lines)))


def _line(source: Source, loc: tuple[Key, ...], details: ErrorDetails, model: type[BaseModel]) -> str:
    path = tuple(part for part in loc if part != "[key]")
    if path[2:3] == ("ladder",):
        path = (*path[:2], "sizes", "params", *path[3:])  # where it was written
    kind, value = details["type"], details.get("input")
    if kind == "extra_forbidden":
        reason = "unknown key" + nearest(str(path[-1]), _known(model, path[:-1]))
    elif kind == "missing":
        reason = "missing: " + (_description(model, path) or "needs a value")
    elif kind == "value_error":
        reason = str(details["ctx"]["error"])
    elif kind == "literal_error":
        known = re.findall("'([^']*)'", details["ctx"]["expected"])
        reason = f"{details['msg']}, not {value!r:.80}{nearest(value, known) if isinstance(value, str) else ''}"
        meaning = _description(model, path)
        reason += f" ({meaning})" if meaning else ""
    elif "[key]" in loc:
        reason = f"not a name: {details['msg']}"
    else:
        reason = f"{details['msg']}, not {value!r:.80}"
        meaning = _description(model, path)
        reason += f" ({meaning})" if meaning else ""
    return str(source.error(path, reason))


def _known(model: type[BaseModel], path: tuple[Key, ...]) -> list[str]:
    found = _model_at(model, path)
    return list(found.model_fields) if found else []


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
    """Return the annotation without `None` and `Annotated`."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _inside(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return _inside(next(arg for arg in typing.get_args(annotation) if arg is not type(None)))
    return annotation


def _element(annotation: object) -> object:
    """Return what a mapping's values or a sequence's items are annotated as."""
    arguments = typing.get_args(annotation)
    if not arguments:
        return None
    return arguments[1] if typing.get_origin(annotation) is dict else arguments[0]
