"""The checks on the numbers that other people's code hands to a sweep: those of a point, and the costs of a size."""

import dataclasses
import math
import numbers
import typing

import numpy as np

from raysweep.core.points import Point
from raysweep.sweep.guests.protection import shown

_POSITIVE = frozenset({"budget", "params", "data", "flops", "trivial_loss", "flops_per_atom", "seconds_per_atom"})
_ANY_SIGN = frozenset({"loss", "train_loss"})
_LARGEST = 2**63 - 1
OPTIONAL = frozenset(f.name for f in dataclasses.fields(Point) if f.default is not dataclasses.MISSING)
"""Fields of a point that may be None."""


def number(value: object, name: str, *, whole: bool = False) -> float | int:
    """Convert a value into a Python number.

    Args:
        value: a number, or an array or tensor that holds one.
        name: the field, which decides the sign that it may have.
        whole: whether it has to be an integer.

    Raises:
        ValueError: it is not a number, or out of range; the message says why.
    """
    if value is None or np.ma.is_masked(value):
        raise ValueError("a number is missing")
    if isinstance(value, bool | str | bytes):
        raise ValueError("not a number")
    if isinstance(value, numbers.Complex) and not isinstance(value, numbers.Real):
        raise ValueError("not a real number")
    shape = getattr(value, "shape", ())
    if math.prod(tuple(shape)) != 1:
        raise ValueError(f"an array of shape {tuple(shape)}, not a number")
    if not hasattr(value, "__float__") and not hasattr(value, "item"):
        raise ValueError("not a number")
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, bool | str | bytes | complex):
        raise ValueError("not a real number")
    found = float(typing.cast(typing.SupportsFloat, plain))
    if name != "loss" and not math.isfinite(found):
        raise ValueError("not finite" + ("; leave out what was not measured" if name in OPTIONAL else ""))
    if name in _POSITIVE and found <= 0:
        raise ValueError("must be above 0")
    if name not in _ANY_SIGN and found < 0:
        raise ValueError("must not be negative")
    if not whole:
        return found
    integer = int(plain) if isinstance(plain, numbers.Integral) else int(found)
    if integer != plain or integer > _LARGEST:
        raise ValueError("not an integer below 2^63")
    return integer


@dataclasses.dataclass(frozen=True)
class CheckedCost:
    """The validated result of an entrypoint's `cost` (see `costs.Cost`)."""

    params: int
    flops_per_atom: float
    seconds_per_atom: float
    peak_memory: int | None
    device_memory: int | None


def checked_cost(value: object) -> CheckedCost:
    """Check a cost, and convert its values.

    Raises:
        ValueError: a field is missing or no number that it can be; names it.
    """
    found: dict[str, float | int | None] = {}
    for name, whole, optional in (
        ("params", True, False),
        ("flops_per_atom", False, False),
        ("seconds_per_atom", False, False),
        ("peak_memory", True, True),
        ("device_memory", True, True),
    ):
        given = getattr(value, name, None)
        try:
            found[name] = None if given is None and optional else number(given, name, whole=whole)
        except Exception as error:
            reason = str(error) if type(error) is ValueError else f"cannot be read: {type(error).__name__}"
            raise ValueError(f"{name}={shown(given)}: {reason}") from error
    return CheckedCost(**found)  # type: ignore[arg-type]
