"""A colour, a marker and a line for each family, the same ones in every figure and in the page."""

from collections.abc import Sequence
from dataclasses import dataclass

# Okabe and Ito 2008, "Color Universal Design": told apart with any colour vision. Its yellow is left out (too light
# for lines on white); wine (Tol 2021, "Colour Schemes") is the eighth: as far from the others under any simulated
# colour vision as they are from each other.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#882255")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
Line = tuple[float, tuple[float, ...] | None]
"""A line style as matplotlib takes it: the offset, and lengths of dashes and gaps in units of the line's width."""
_LINES: tuple[Line, ...] = (
    (0.0, None),
    (0.0, (5.0, 1.3)),
    (0.0, (1.2, 1.2)),
    (0.0, (5.0, 1.3, 1.2, 1.3)),
    (0.0, (9.0, 1.6)),
    (0.0, (5.0, 1.3, 1.2, 1.3, 1.2, 1.3)),
    (0.0, (2.6, 1.3)),
    (0.0, (9.0, 1.6, 2.6, 1.6)),
)


@dataclass(frozen=True)
class Style:
    """How a family is drawn; marker and line tell it apart where colour cannot (print, more families than colours)."""

    colour: str
    marker: str
    line: Line = (0.0, None)


def styles(families: Sequence[str], planned: Sequence[str] = ()) -> dict[str, Style]:
    """Assign a style to each family by its place in the search space (`planned`), so that it is the same before all
    families have points.
    """
    families = tuple(dict.fromkeys([*planned, *families]))
    return {family: _style(place) for place, family in enumerate(families)}


def _style(place: int) -> Style:
    """Colours repeat after eight families, with other markers and lines."""
    count = len(_COLOURS)
    other = (place + place // count) % count
    return Style(_COLOURS[place % count], _MARKERS[other], _LINES[other])


def shade(colour: str, share: float) -> tuple[float, float, float]:
    """Mix a colour with white: 1 leaves it as it is, 0 is white."""
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (share * channel + (1 - share) for channel in channels)
    return red, green, blue
