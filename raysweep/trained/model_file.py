"""Model files of all versions: read and upgraded to today's, written in today's."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pydantic import ValidationError

from raysweep.core.errors import ModelError
from raysweep.trained.container import Content, read_content, write_content
from raysweep.trained.record import ModelRecord

VERSION = 1
"""Raised whenever an older reader could misread a file; `UPGRADES` then gets an entry."""

Body = dict[str, Any]
Upgrade = Callable[[Body, Mapping[str, torch.Tensor]], tuple[Body, Mapping[str, torch.Tensor]]]

UPGRADES: dict[int, Upgrade] = {}
"""By version, the function that makes the next version of body and tensors; tests/trained/files has a file of each."""


def write_model(location: str, record: ModelRecord, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write a model file.

    Args:
        location: a path or a URI.
        record: the network and its origin.
        tensors: its state by name, `weights.` and `kept.` before the names in the network.
    """
    write_content(location, Content(version=VERSION, body=record.model_dump(mode="json"), tensors=tensors))


def read_model(location: str) -> tuple[ModelRecord, Mapping[str, torch.Tensor]]:
    """Read a model file of this or an older version.

    Raises:
        ModelError: the file is absent, torn or altered, of a newer version, or its description is not valid.
    """
    content = read_content(location)
    body, tensors = dict(content.body), content.tensors
    if not 1 <= content.version <= VERSION:
        raise ModelError(
            f"{location}: version is {content.version}, and this raysweep reads 1 to {VERSION}; update raysweep, or "
            "export the model again with this one"
        )
    for version in range(content.version, VERSION):
        try:
            body, tensors = UPGRADES[version](body, tensors)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(
                f"{location}: its version {version} cannot be upgraded ({type(error).__name__}: {error}); export the "
                "model again"
            ) from error
    try:
        return ModelRecord.model_validate(body), tensors
    except (ValidationError, RecursionError) as error:
        raise ModelError(f"{location}: {_first(error)}; export the model again") from error


def _first(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "its description is nested too deeply"
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "description"
    return f"{key}: {first['msg']} (got {str(first.get('input'))[:80]!r})"
