"""Ladders that are given by parameters, `sizes: {params: {from: 1e4, to: 1e7, steps: 8}}`: solved for the width."""

import math
from collections.abc import Callable

from raysweep.core.errors import SpaceError
from raysweep.core.hashing import content_id
from raysweep.core.trial import NO_DATA, TrialSpec
from raysweep.storage import layout
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.guests.code import code_named
from raysweep.sweep.guests.entrypoint import entrypoint_cost
from raysweep.sweep.space.networks import check_sizes
from raysweep.sweep.space.parts import Ladder, Size
from raysweep.sweep.space.space import Space
from raysweep.sweep.space.yaml_lines import ErrorAt

WIDEST = 2**16
"""Largest width that is tried."""

Count = Callable[[int], int]
"""Trainable parameters by width."""


def with_sizes(space: Space, store: TrialStore) -> Space:
    """Replace each ladder of parameters by a list of widths; notes go to the store.

    Widths are kept in `sizes.json`, so that they are solved for (seconds each) once.

    Raises:
        SpaceError: no width comes near a number of parameters, or the structure store, whose elements count, is absent.
    """
    kept = store.read_json(layout.SIZES)
    known = dict(kept) if isinstance(kept, dict) else {}
    families = dict(space.families)
    for label, family in space.families.items():
        if family.ladder is None:
            continue
        path = ("families", label, "sizes", "params")
        elements, scale = elements_of(space, path)
        content = [
            family.architecture,
            family.fixed,
            space.forces,
            code_named(space.entrypoint, family.architecture),
            elements,
        ]
        key = content_id([*content, family.ladder.model_dump(mode="json")], 16, spaced=True)
        if key not in known:
            check_sizes(space)  # names an unknown architecture by its own key
            count = counter(space, label, family.fixed, elements, scale)
            known[key] = _solve(family.ladder, count, path, space.error)
        widths = [int(width) for width in known[key]]
        if len(widths) < family.ladder.steps:
            store.notes.append(
                f"{label}: {family.ladder.steps} sizes were requested, but some are nearest to the same width: "
                f"{len(widths)} remain"
            )
        sizes = tuple({"width": width} for width in widths)
        families[label] = family.model_copy(update={"sizes": sizes, "ladder": None})
    if families == space.families:
        return space
    if known != kept:
        store.keep_json(layout.SIZES, known, "the widths of the ladders")
    return space.model_copy(update={"families": families})


def nearest_widths(targets: list[float], count: Count) -> list[int]:
    """Find for each number of parameters the nearest width on the log scale; each width once, ascending.

    Args:
        targets: numbers of parameters, ascending.
        count: parameters by width, ascending with it.
    """
    counts: dict[int, int] = {}

    def at(width: int) -> int:
        if width not in counts:
            counts[width] = count(width)
        return counts[width]

    widths: list[int] = []
    low = 1
    for target in targets:
        high = low
        while at(high) < target and high < WIDEST:
            high = min(2 * high, WIDEST)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if at(middle) < target else (low, middle)
        widths.append(min((low, high), key=lambda width: abs(math.log(at(width) / target))))
    return sorted(set(widths))


def _solve(ladder: Ladder, count: Count, path: tuple[str, ...], error: ErrorAt) -> list[int]:
    smallest, largest = count(1), ladder.stop
    if ladder.start < smallest / 1.5:
        raise error(
            (*path, "from"),
            f"{ladder.start:g} is below the smallest member, which has {smallest} parameters at width 1; raise it, or "
            f"choose smaller knobs in `fixed`",
        )
    ratio = (ladder.stop / ladder.start) ** (1 / (ladder.steps - 1))
    widths = nearest_widths([ladder.start * ratio**k for k in range(ladder.steps)], count)
    if count(widths[-1]) < largest / 1.5:
        raise error(
            (*path, "to"),
            f"{largest:g} is beyond the largest member, which has {count(widths[-1])} parameters at width "
            f"{widths[-1]}; lower it, or choose larger knobs in `fixed`",
        )
    return widths


def counter(space: Space, label: str, fixed: Size, elements: tuple[int, ...], scale: float) -> Count:
    """Make the function that counts the trainable parameters of a family's member by its width.

    Args:
        space: the search space.
        label: of the family.
        fixed: the other knobs of the member.
        elements: of the structures (see `elements_of`).
        scale: root mean square of their forces.
    """
    family = space.families[label]
    path = ("families", label, "sizes", "params")

    def size(width: int) -> Size:
        return {**fixed, "width": width}

    if space.entrypoint is not None:

        def params(width: int) -> int:
            spec = TrialSpec(
                architecture=family.architecture, size=size(width), entrypoint=space.entrypoint,
                fingerprint=NO_DATA, structures=1, learning_rate=1.0,
            )  # fmt: skip
            cost = entrypoint_cost(spec, None)
            if cost is None:
                raise space.error(path, f"needs parameters by width: give {space.entrypoint} a `cost` (docs/sweep.md)")
            return cost.params

        return params
    from raysweep.models.base import DatasetInfo
    from raysweep.models.registry import create

    def count(width: int) -> int:
        try:
            model = create(
                family.architecture, size(width), space.forces, DatasetInfo(elements=elements, scale=scale), 0
            )
        except SpaceError as error:
            raise space.error(path, f"cannot be solved for width: {error}") from error
        return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)

    return count


def elements_of(space: Space, path: tuple[str, ...]) -> tuple[tuple[int, ...], float]:
    """Look up the elements of the structures, which the number of parameters depends on, and their force scale.

    Raises:
        SpaceError: there is no structure store yet; `path` is the key that needs it.
    """
    data = space.data
    if data is None or space.entrypoint is not None:
        return (), 1.0
    from raysweep.core.errors import DataError
    from raysweep.data.store.store import open_store

    try:
        manifest = open_store(data.store).manifest
    except DataError as absent:
        raise space.error(
            path,
            "the width of a model with so many parameters depends on the elements of the data, and the structure store "
            "is not there yet: make it first (`raysweep data make SPACE`)",
        ) from absent
    return tuple(sorted(manifest.reference_energies)), manifest.rms_force
