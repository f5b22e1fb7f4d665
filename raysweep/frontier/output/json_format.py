"""A fit as JSON and back: numbers in full precision (the shortest decimal that reads back to the same double)."""

import json
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING

from raysweep.core.errors import FrontierError
from raysweep.frontier.laws.laws import Surface
from raysweep.frontier.numerics.arrays import AsJson, Plain
from raysweep.frontier.result import Fit

if TYPE_CHECKING:
    from pydantic import TypeAdapter

FORMAT = "raysweep.fit/2"
_WHERE_KNOWN = ("lack_of_fit", "run_noise", "choice", "shared", "inference")
"""Fields that are written where they have a value: fits without one read as they always did."""
_LAWS = ("estimate", "draws", "leave_one_out")
_number = AsJson().write


@cache
def _adapter() -> "TypeAdapter[Fit]":
    from pydantic import TypeAdapter  # here, since a fit needs no pydantic

    return TypeAdapter(Fit)


def to_json(fit: Fit) -> str:
    """Write a fit as JSON, its summary first and the draws last; non-finite numbers are null."""
    content = _adapter().dump_python(fit)
    content = {name: value for name, value in content.items() if value is not None or name not in _WHERE_KNOWN}
    if not fit.form.toward_largest:
        content["form"] = {name: value for name, value in content["form"].items() if name != "toward_largest"}
    for name in _LAWS:
        if content[name] is not None:
            kind = "surface" if isinstance(getattr(fit, name), Surface) else "curve"
            known = {key: value for key, value in content[name].items() if key != "extension" or value is not None}
            content[name] = {"kind": kind, **known}
    heading: dict[str, Plain] = {
        "format": FORMAT,
        "points_sha256": fit.samples.digest(),
        "summary": summary(fit),
    }
    return json.dumps({**heading, **content}, allow_nan=False)


def summary(fit: Fit) -> dict[str, Plain]:
    """The numbers that a person wants to read first; empty where there is no fit."""
    if fit.estimate is None:
        return {}
    law = fit.law
    found: dict[str, Plain] = {"law": {field.name: _number(getattr(law, field.name)) for field in fields(law)}}
    for name in ("params_exponent", "data_exponent", "loss_exponent"):
        answer = fit.answer(name)
        ends: Plain = None if answer.interval is None else [_number(end) for end in answer.interval]
        found[name] = {"value": _number(answer.value), "interval_95": ends}
    return found


def from_json(text: str) -> Fit:
    """Read a fit that `to_json` wrote.

    Raises:
        FrontierError: the text is torn, altered or of another format.
    """
    try:
        content = json.loads(text)
        if content["format"] != FORMAT:
            raise FrontierError(f"a fit of format {content['format']!r}; this version reads {FORMAT!r}")
        fit = _adapter().validate_python(content)
    except (ValueError, KeyError, TypeError) as error:
        raise FrontierError(f"not a fit written by to_json, or torn: {type(error).__name__}: {error}") from error
    if fit.samples.digest() != content["points_sha256"]:
        raise FrontierError("the fit's points do not match their digest: the text was altered")
    return fit
