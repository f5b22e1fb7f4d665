"""The arguments of `fit`, checked."""

from dataclasses import dataclass, field
from typing import Literal, TypedDict, Unpack, get_args

import numpy as np

from raysweep.core.errors import FrontierError
from raysweep.frontier.laws.forms import LAWS, Form, LawName

Method = Literal["parametric", "isoflop", "envelope"]
Purpose = Literal["exponents", "prediction"]
Cost = Literal["flops", "seconds"]
PURPOSES = {"exponents": 1.0, "prediction": 0.4}
"""Weight of points above the law relative to those below it."""


FitWindow = Literal["auto", "all"] | tuple[float, float]
"""Of D: after the transition where there is one, all points, or from and to given amounts."""
AUTO: Literal["auto"] = "auto"
"""The law's name where the points choose it."""


class Settings(TypedDict, total=False):
    """Arguments of `fit` that other functions pass on to it; same names, meanings and defaults."""

    method: Method
    loss_delta: Literal["adaptive"] | float
    asymptote: Literal["free"] | float
    cost: Cost
    seed: int
    bootstraps: int
    law: LawName | Literal["auto"]
    purpose: Purpose
    iterations: int
    window: FitWindow


@dataclass(frozen=True, kw_only=True)
class Options:
    """Checked settings; `loss_delta` None follows the noise, `starts` is the number of starts of the solver.

    `run_noise` False leaves out the noise of runs: intervals then draw whole trajectories, as other approaches do.
    """

    method: Method = "parametric"
    form: Form = field(default_factory=Form)
    loss_delta: float | None = None
    cost: str = "flops"
    seed: int = 0
    bootstraps: int = 1000
    starts: int = 64
    iterations: int = 200
    run_noise: bool = True
    window: FitWindow = "auto"
    automatic: bool = True


def make_options(**settings: Unpack[Settings]) -> Options:
    """Check the settings of a fit.

    Raises:
        FrontierError: one of them has no meaning; the message names it and says what to give.
    """
    method, law = settings.get("method", "parametric"), settings.get("law", "auto")
    purpose = settings.get("purpose", "exponents")
    for name, value, known in (
        ("method", method, get_args(Method)),
        ("law", law, (AUTO, *LAWS)),
        ("purpose", purpose, get_args(Purpose)),
        ("cost", settings.get("cost", "flops"), get_args(Cost)),
    ):
        if not isinstance(value, str) or value not in known:
            raise FrontierError(f"{name} = {value!r}: give {', '.join(known)}")
    asymptote = _number("asymptote", settings.get("asymptote", "free"), "free")
    if asymptote is not None and not 0 <= asymptote < np.inf:
        raise FrontierError(f"asymptote = {asymptote}: a loss is a number, and not negative; give 0 or more, or 'free'")
    delta = _number("loss_delta", settings.get("loss_delta", "adaptive"), "adaptive")
    if delta is not None and not 0 < delta < np.inf:
        raise FrontierError(f"loss_delta = {delta}: give a positive number, or 'adaptive'")
    return Options(
        window=_window(settings.get("window", "auto")),
        method=method,
        automatic=law == AUTO,
        form=Form(law="additive" if law == "auto" else law, asymptote=asymptote, over=PURPOSES[purpose]),
        loss_delta=delta,
        cost=settings.get("cost", "flops"),
        seed=_whole("seed", settings.get("seed", 0), 2**64),
        bootstraps=_whole("bootstraps", settings.get("bootstraps", 1000), 10**6),
        iterations=_whole("iterations", settings.get("iterations", 200), 10**6),
    )


def _window(window: FitWindow) -> FitWindow:
    if isinstance(window, str):
        if window in ("auto", "all"):
            return window
    elif isinstance(window, tuple | list) and len(window) == 2:
        low, high = (_number("window", end, "") for end in window)
        if low is not None and high is not None and 0 <= low < high:
            return low, high
    raise FrontierError(f"window = {window!r}: give 'auto', 'all', or two amounts of data: from, to")


def _whole(name: str, value: int, limit: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value < limit:
        raise FrontierError(f"{name} = {value!r}: give 0 or more, a whole number below {limit:g}")
    return int(value)


def _number(name: str, value: str | float, word: str) -> float | None:
    """Convert an argument to a number, or to None where it is the given word."""
    if isinstance(value, str) and value == word:
        return None
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise FrontierError(f"{name} = {value!r}: give a number, or {word!r}") from error
