"""`grid.design: auto`: its requirements on a search space, and the settings that follow."""

from collections.abc import Mapping

from raysweep.sweep.space.parts import Adaptive, Family, Grid
from raysweep.sweep.space.yaml_lines import ErrorAt

FEWEST_SIZES = 4
"""Two on either side of N*."""
FEWEST_SEEDS = 8
"""Of each size to choose from, unless `adaptive.seeds` says otherwise: where noise decides, seeds narrow most."""
_HALVINGS = 7
"""Data budgets below the largest where that alone is given: from 1/128 of it on."""
_SMALLEST = 100
"""Structures of the smallest of them, about a thousand atoms."""


def is_automatic(grid: Grid) -> bool:
    """Whether the design is chosen from pilot runs."""
    return grid.design == "auto"


def check_automatic(grid: Grid, families: Mapping[str, Family], error: ErrorAt) -> None:
    """Check that an automatic design has budgets to bracket, and enough sizes to do so.

    Raises:
        SpaceError: names the key that is missing, or stands in its way.
    """
    if not is_automatic(grid):
        return
    if not grid.flops:
        raise error(
            ("grid", "flops"),
            "missing: design: auto needs the compute budgets at which N* is to be bracketed, such as [1e10, 1e11]",
        )
    for key in ("device_hours", "unique"):
        if getattr(grid, key):
            raise error(
                ("grid", key), f"design: auto brackets N* at grid.flops and has no {key}; leave it out, or use full"
            )
    for label, family in families.items():
        count = len(family.sizes) if family.ladder is None else family.ladder.steps
        if count < FEWEST_SIZES:
            raise error(
                ("families", label, "sizes"),
                f"{count} sizes cannot bracket N*, which takes two on either side; give {FEWEST_SIZES} or more "
                "to choose from, such as params: {from: 1e3, to: 1e5, steps: 8}",
            )


def automatic_rounds(grid: Grid, adaptive: Adaptive) -> Adaptive:
    """Return the settings of an automatic design's rounds, with defaults where none are given."""
    seeds = adaptive.seeds or max(FEWEST_SEEDS, 4 * len(grid.seeds))
    return adaptive.model_copy(update={"enabled": True, "seeds": seeds})


def with_data_budgets(grid: Grid) -> Grid:
    """Give an automatic design whose largest data budget alone is named those along the way, at factors of two."""
    if not is_automatic(grid) or len(grid.structures) != 1:
        return grid
    largest = grid.structures[0]
    halves = {largest // 2**k for k in range(_HALVINGS + 1) if largest // 2**k >= _SMALLEST}
    return grid.model_copy(update={"structures": tuple(sorted({*halves, largest}))})
