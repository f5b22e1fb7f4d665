"""What the figures of this folder take and give: fits by family, and a figure with the families that it leaves out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from raysweep.core.errors import FrontierError
from raysweep.frontier import Fit
from raysweep.report.content.sources import UNNAMED
from raysweep.report.figures.canvas import png
from raysweep.report.figures.palette import Style, styles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")


class NothingToDraw(FrontierError):
    """No family has what a figure shows; the message is the reason."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure.

    Attributes:
        figure: matplotlib's.
        alt: its alternative text.
        absent: the families that are not in it, each with the reason.
    """

    figure: "Figure"
    alt: str
    absent: Mapping[str, str]

    def png(self) -> bytes:
        """The figure as the bytes of a PNG file."""
        return png(self.figure)


@dataclass(frozen=True, kw_only=True)
class Families:
    """The fits that a figure is of, with the style of each family."""

    fits: Mapping[str, Fit]
    style: Mapping[str, Style]


def families(fits: Mapping[str, Fit] | Fit, style: Mapping[str, Style] | None) -> Families:
    """Take one fit or several by family, with the styles given, in their order, or the palette's own."""
    if isinstance(fits, Fit):
        fits = {fits.architecture or UNNAMED: fits}
    if style is None:
        return Families(fits=fits, style=styles(list(fits)))
    return Families(fits={family: fits[family] for family in style if family in fits} | dict(fits), style=style)


def drawable(fits: Mapping[str, Fit], values: Callable[[str, Fit], T]) -> tuple[dict[str, T], dict[str, str]]:
    """Collect what a figure shows of each family; and the families that have none of it, with reasons.

    Args:
        fits: by family.
        values: of a family's name and fit; raises `FrontierError` with the reason where there are none.

    Raises:
        NothingToDraw: no family has any.
    """
    found: dict[str, T] = {}
    absent: dict[str, str] = {}
    for family, fit in fits.items():
        try:
            found[family] = values(family, fit)
        except FrontierError as error:
            absent[family] = str(error)
    if not found:
        whose: dict[str, dict[str, None]] = {}
        for family, reason in absent.items():
            whose.setdefault(reason, {})[family] = None
        told = [reason if len(whose) == 1 else f"{listed(names)}: {reason}" for reason, names in whose.items()]
        raise NothingToDraw("; ".join(told) or "there are no fits")
    return found, absent


def usable(fit: Fit) -> Fit:
    """The fit, where it has a law.

    Raises:
        NothingToDraw: it has none; the message is its status.
    """
    if fit.estimate is None:
        raise NothingToDraw(f"no fit: {fit.status.sentence}")
    return fit


def listed(names: Mapping[str, object]) -> str:
    """The names of families as a sentence has them."""
    known = [name for name in names if name != UNNAMED]
    if not known:
        return UNNAMED
    return known[0] if len(known) == 1 else f"{', '.join(known[:-1])} and {known[-1]}"


def data_axis(unit: str | None) -> str:
    """The label of an axis of D, with its unit where that is known."""
    return f"data seen D ({unit})" if unit else "data seen D"


def cost_axis(fit: Fit) -> str:
    """The label of an axis of C, in the fit's own unit."""
    return f"{'training compute C' if fit.cost_name == 'flops' else 'device time'} ({cost_unit(fit)})"


def cost_unit(fit: Fit) -> str:
    """The unit of a fit's costs."""
    return "FLOP" if fit.cost_name == "flops" else "s"
