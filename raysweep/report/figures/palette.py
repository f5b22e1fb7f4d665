"""A colour and a marker for each family, the same ones in every figure and in the page."""

from collections.abc import Sequence
from dataclasses import dataclass

# Okabe and Ito 2008, "Color Universal Design": told apart with any colour vision. Its yellow is left out (too light
# for lines on white); black comes last.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")


@dataclass(frozen=True)
class Style:
    """How a family is drawn; the marker tells it apart where colour cannot (print, more families than colours)."""

    colour: str
    marker: str


def styles(families: Sequence[str], planned: Sequence[str] = ()) -> dict[str, Style]:
    """Return a style for each family, by its place in the search space (`planned`): the same before all have points."""
    families = tuple(dict.fromkeys([*planned, *families]))
    return {
        family: Style(_COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)]) for i, family in enumerate(families)
    }


def shade(colour: str, share: float) -> tuple[float, float, float]:
    """Return the colour mixed with white; 1 leaves it as it is, 0 is white."""
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (share * channel + (1 - share) for channel in channels)
    return red, green, blue
