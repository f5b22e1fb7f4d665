"""The buildable size of a family that comes nearest to a number of parameters."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raysweep.core.errors import RaysweepError
from raysweep.core.hashing import size_json
from raysweep.sweep.space.ladder import Count, counter, elements_of, nearest_widths
from raysweep.sweep.space.parts import Size
from raysweep.sweep.space.space import Space


@dataclass(frozen=True)
class NearestSize:
    """A size, and whether its width was solved for."""

    size: Size
    solved: bool
    """False: the family has no width, so that it is the nearest of its sizes."""


def nearest_size(space: Space, label: str, params: float, known: Mapping[str, float]) -> NearestSize:
    """Find the size of a family whose number of parameters is nearest, on the log scale.

    The width is solved for; further knobs that differ along the ladder are those of its nearest member.

    Args:
        space: the search space, resolved.
        label: of the family.
        params: trainable parameters wanted.
        known: parameters of its members, by size as JSON, as far as they have points.

    Raises:
        SpaceError: a size cannot be built.
    """
    members = space.families[label].members()
    like = min(members, key=lambda size: abs(math.log(known.get(size_json(size), math.inf) / params)))
    if not all(isinstance(size.get("width"), int | float) for size in members):
        return NearestSize(like, solved=False)
    others = {knob: value for knob, value in like.items() if knob != "width"}
    count = counter(space, label, others, *elements_of(space, ("families", label, "sizes")))
    step = _step(count, [int(size["width"]) for size in members])
    (multiple,) = nearest_widths([params], lambda k: count(step * k))
    return NearestSize({**like, "width": step * multiple}, solved=True)


def _step(count: Count, widths: Sequence[int]) -> int:
    """Return 1, or what all widths of the ladder are multiples of where others are not networks (heads, blocks)."""
    try:
        count(max(widths) + 1)
        count(1)
    except RaysweepError:
        return math.gcd(*widths)
    return 1
