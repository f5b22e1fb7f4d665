"""The arguments of a fit's queries, checked: a number that has no meaning is refused and never answered."""

import math
from decimal import Decimal

import numpy as np

from raysweep.core.errors import FrontierError
from raysweep.frontier.laws.forms import Form


def positive(query: str, name: str, value: object, *, what: str = "a positive, finite number") -> float:
    """Convert an argument to a number above 0.

    Raises:
        FrontierError: it is none, or not positive and finite; names the query and the argument.
    """
    number = _number(value)
    if number is None or not 0 < number < math.inf:
        raise FrontierError(f"{query}({name}={_shown(value)}): give {what}")
    return number


def not_negative(query: str, name: str, value: object) -> float:
    """Convert an argument to a number of 0 or more; raises as `positive`."""
    number = _number(value)
    if number is None or not 0 <= number < math.inf:
        raise FrontierError(f"{query}({name}={_shown(value)}): give 0 or more, a finite number")
    return number


def coverage(query: str, level: object) -> float:
    """Convert the level of an interval to a number between 0 and 1; raises as `positive`."""
    number = _number(level)
    if number is None or not 0 < number < 1:
        raise FrontierError(f"{query}(level={_shown(level)}): give a number between 0 and 1, such as 0.95")
    return number


def distinct(query: str, form: Form, unique_data: object) -> float | None:
    """Convert the amount of distinct data; None is unlimited.

    Raises:
        FrontierError: it is no amount, or the law does not know repeats, so that it would be ignored.
    """
    if unique_data is None:
        return None
    if form.law != "data_constrained":
        raise FrontierError(
            f"{query}(unique_data={_shown(unique_data)}): law={form.law!r} knows no repeats, and would ignore it; fit "
            "points with a column unique_data by law='data_constrained'"
        )
    return positive(query, "unique_data", unique_data)


def _number(value: object) -> float | None:
    """A number given as such, or as an array of one; texts, flags and complex numbers are none."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | Decimal | np.integer | np.floating):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{value!r:.60}"
