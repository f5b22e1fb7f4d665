"""The parameters that a fit shares with those of other families."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SharedParameters:
    """Parameters that several families have in common, and whether their points contradict that.

    Attributes:
        names: E, alpha or beta. values: of each, in the user's units. families: that have them in common.
        test: "F" (points are independent) or "Wald's F" (trajectories are; the family with fewest sets the freedom).
        statistic, degrees_of_freedom, p_value: of the restriction against free fits; None where the points are too few.
        first_unit: place of this family's first resampling unit among those of all, which `leave_one_out` leaves out.
    """

    names: tuple[str, ...]
    values: tuple[float, ...]
    families: tuple[str, ...]
    test: str
    statistic: float | None
    degrees_of_freedom: tuple[int, int]
    p_value: float | None
    first_unit: int
