"""A fit of hyperparameter laws as JSON and back, in full precision, as `output.json_format` does for a `Fit`."""

import json
from functools import cache
from typing import TYPE_CHECKING

from raysweep.core.errors import FrontierError
from raysweep.frontier.hyperparameters.result import HyperparameterFit
from raysweep.frontier.numerics.arrays import AsJson, Plain

if TYPE_CHECKING:
    from pydantic import TypeAdapter

FORMAT = "raysweep.hyperparameters/1"
_number = AsJson().write


@cache
def _adapter() -> "TypeAdapter[HyperparameterFit]":
    from pydantic import TypeAdapter  # here, since a fit needs no pydantic

    return TypeAdapter(HyperparameterFit)


def hyperparameters_to_json(found: HyperparameterFit) -> str:
    """Write a fit as JSON, its summary first and the draws last; non-finite numbers are null."""
    heading: dict[str, Plain] = {
        "format": FORMAT,
        "runs_sha256": found.samples.digest(),
        "summary": hyperparameters_summary(found),
    }
    return json.dumps({**heading, **_adapter().dump_python(found)}, allow_nan=False)


def hyperparameters_summary(found: HyperparameterFit) -> dict[str, Plain]:
    """The numbers that a person wants to read first; empty where there is no law."""
    if found.estimate is None:
        return {}
    summary: dict[str, Plain] = {axis: str(found.known.of(axis)) for axis in found.known.axes()}
    for name, answer in found.exponents.items():
        ends: Plain = None if answer.interval is None else [_number(end) for end in answer.interval]
        summary[name] = {"value": _number(answer.value), "interval_95": ends}
    return summary


def hyperparameters_from_json(text: str) -> HyperparameterFit:
    """Read a fit that `hyperparameters_to_json` wrote.

    Raises:
        FrontierError: the text is torn, altered or of another format.
    """
    try:
        content = json.loads(text)
        if content["format"] != FORMAT:
            raise FrontierError(f"a fit of format {content['format']!r}; this reads {FORMAT!r}")
        found = _adapter().validate_python(content)
    except (ValueError, KeyError, TypeError) as error:
        raise FrontierError(
            f"not a fit written by hyperparameters_to_json, or torn: {type(error).__name__}: {error}"
        ) from error
    if found.samples.digest() != content["runs_sha256"]:
        raise FrontierError("the fit's runs do not match their digest: the text was altered")
    return found
