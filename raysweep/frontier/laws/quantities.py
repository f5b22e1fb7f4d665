"""The quantities that a fit gives by name: functions of a law, with the scale that their intervals are taken on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from raysweep.core.errors import FrontierError
from raysweep.frontier.laws.laws import Curve, Surface
from raysweep.frontier.numerics.arrays import Floats

Law: TypeAlias = Surface | Curve


def curve_of(law: Law) -> Curve:
    """The frontier of a law, given as a surface or as a curve."""
    return law.curve() if isinstance(law, Surface) else law


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number that follows from a law; `positive` ones get intervals on the logarithm, and none goes below `least`."""

    value: Callable[[Law], Floats]
    positive: bool
    least: float = float("-inf")


def _field(name: str) -> Callable[[Law], Floats]:
    return lambda law: np.asarray(getattr(law, name))


def _further(name: str, of: Callable[[Floats], Floats] = np.asarray) -> Callable[[Law], Floats]:
    return lambda law: of(np.asarray(getattr(getattr(law, "extension", None), name)))


_EXPONENTS = {
    "params_exponent": Quantity(value=_field("params_exponent"), positive=False, least=0.0),
    "data_exponent": Quantity(value=_field("data_exponent"), positive=False, least=0.0),
    "loss_exponent": Quantity(value=_field("loss_exponent"), positive=False, least=0.0),
}
_SURFACE = {
    "E": Quantity(value=_field("E"), positive=False, least=0.0),
    "A": Quantity(value=lambda law: np.exp(_field("log_A")(law)), positive=True),
    "alpha": Quantity(value=_field("alpha"), positive=False, least=0.0),
    "B": Quantity(value=lambda law: np.exp(_field("log_B")(law)), positive=True),
    "repeats": Quantity(value=lambda law: np.exp(_field("log_repeats")(law)), positive=True),
    "beta": Quantity(value=_field("beta"), positive=False, least=0.0),
}
_EXTENSION = {
    "coupling": Quantity(value=_further("log_coupling", np.exp), positive=True),
    "params_bend": Quantity(value=_further("params_bend"), positive=False),
    "params_break": Quantity(value=_further("log_params_break", np.exp), positive=True),
    "data_bend": Quantity(value=_further("data_bend"), positive=False),
    "data_break": Quantity(value=_further("log_data_break", np.exp), positive=True),
}
_CURVE = {
    "E": _SURFACE["E"],
    "F": Quantity(value=lambda law: np.exp(_field("log_F")(law)), positive=True),
    "gamma": _EXPONENTS["loss_exponent"],
}
SHORT = {"a": "params_exponent", "b": "data_exponent", "gamma": "loss_exponent", "optimal": "optimal_params"}
OPTIMAL = ("optimal_params", "optimal_data", "optimal_loss")


def _surface(law: Law) -> Surface:
    assert isinstance(law, Surface)
    return law


def quantity(law: Law, name: str, flops: float | None, unique_data: float | None = None) -> Quantity:
    """Look up a quantity by name.

    Names: a (params_exponent), b (data_exponent), gamma (loss_exponent), the law's own parameters, and optimal_params
    (optimal), optimal_data, optimal_loss, which need `flops`.

    Raises:
        FrontierError: the law has no such quantity, or `flops` is absent.
    """
    name = SHORT.get(name, name) if isinstance(name, str) else repr(name)
    if name in OPTIMAL:
        if flops is None:
            raise FrontierError(f"interval({name!r}) needs flops=: at which compute?")
        place, cost = OPTIMAL.index(name), flops
        if unique_data is not None and isinstance(law, Surface):
            unique = unique_data
            return Quantity(value=lambda law: _surface(law).optimum_with(cost, unique)[place], positive=True)
        return Quantity(value=lambda law: law.optimum(cost)[place], positive=True)
    known = _EXPONENTS | (_SURFACE if isinstance(law, Surface) else _CURVE)
    if isinstance(law, Surface) and law.extension is not None:
        known = known | _EXTENSION
    if name not in known:
        names = ", ".join([*known, *SHORT, *OPTIMAL])
        raise FrontierError(f"no quantity {name!r} in this fit; it has {names}")
    return known[name]
