"""The buildable size of a family that comes nearest to a number of parameters."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raysweep.core.errors import RaysweepError
from raysweep.core.hashing import size_json
from raysweep.core.trial import SizeValue
from raysweep.sweep.guests.entrypoint import entrypoint_cost
from raysweep.sweep.plan.designs import courses
from raysweep.sweep.plan.specs import TrialSpecs
from raysweep.sweep.space.facts import DataFacts
from raysweep.sweep.space.ladder import Count, counter, elements_of, nearest_widths
from raysweep.sweep.space.parts import Size
from raysweep.sweep.space.space import Space
from raysweep.sweep.space.yaml_lines import nearest


@dataclass(frozen=True)
class NearestSize:
    """A size, and whether its width was solved for."""

    size: Size
    solved: bool
    """False: the family has no width, so that it is the nearest of its sizes."""


def nearest_size(space: Space, facts: DataFacts, label: str, params: float, known: Mapping[str, float]) -> NearestSize:
    """Find the size of a family whose number of parameters is nearest, on the log scale.

    The width is solved for; further knobs that differ along the ladder are those of its nearest member.

    Args:
        space: the search space, resolved.
        facts: about its structures.
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
    count = _counter(space, facts, label, others)
    step = _step(count, [int(size["width"]) for size in members])
    (multiple,) = nearest_widths([params], lambda k: count(step * k))
    return NearestSize({**like, "width": step * multiple}, solved=True)


def named_size(space: Space, label: str, given: Mapping[str, SizeValue]) -> Size:
    """Complete the knobs of a size that is named: those that all sizes of its family share are filled in.

    Raises:
        SpaceError: the family's sizes have no such knob, need one that is missing, or it is not a network.
    """
    members, key = space.families[label].members(), ("families", label, "sizes")
    for knob in given:
        if knob not in members[0]:
            raise space.error(key, f"its sizes have no knob {knob!r} to train{nearest(knob, members[0])}")
    shared = {knob: value for knob, value in members[0].items() if all(m.get(knob) == value for m in members)}
    missing = [knob for knob in members[0] if knob not in given and knob not in shared]
    if missing:
        raise space.error(key, f"its sizes differ in {', '.join(missing)}: give it with the size to train")
    size: Size = {knob: given.get(knob, shared.get(knob, value)) for knob, value in members[0].items()}
    if space.entrypoint is None:
        from raysweep.models.registry import check_size

        check_size(space.families[label].architecture, size)
    return size


def _counter(space: Space, facts: DataFacts, label: str, others: Size) -> Count:
    """Return the function that counts the parameters of a member by its width."""
    if space.entrypoint is None:
        return counter(space, label, others, *elements_of(space, ("families", label, "sizes")))
    from raysweep.data.store.store import open_store

    store = open_store(space.data.store) if space.data else None  # a training's `cost` may look at it
    specs, probe = TrialSpecs.of(space, facts), courses(space.grid, space.training.optimizer)[0]

    def count(width: int) -> int:
        size = {**others, "width": width}
        cost = entrypoint_cost(specs.grid(label, size, space.grid.seeds[0], 1.0, probe), store)
        if cost is None:
            raise RaysweepError(costless(space))
        return cost.params

    return count


def costless(space: Space) -> str:
    """Report that the user's own training function has no `cost`."""
    return (
        f"a forecast needs what sizes cost: give {space.entrypoint} a `cost`, which states parameters, FLOPs and "
        "seconds per atom (docs/sweep.md)"
    )


def _step(count: Count, widths: Sequence[int]) -> int:
    """Return 1, or what all widths of the ladder are multiples of where others are not networks (heads, blocks)."""
    count(max(widths))  # an error that all widths have is not about these
    try:
        count(max(widths) + 1)
        count(1)
    except RaysweepError:
        return math.gcd(*widths)
    return 1
