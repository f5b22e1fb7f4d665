"""Checks, before any training, that each size is a network and that muP carries the learning rate to it.

They import torch, so `load_space` and the driver of a finished sweep do without.
"""

import json
import re

from raysweep.core.errors import RaysweepError, SpaceError
from raysweep.sweep.space.facts import DataFacts
from raysweep.sweep.space.parts import Family
from raysweep.sweep.space.space import Space


def check_sizes(space: Space) -> None:
    """Check that every size is one that its architecture knows, and no two sizes of a family are the same network.

    Raises:
        SpaceError: names the first key that is wrong.
    """
    if space.entrypoint is not None:
        return
    from raysweep.models import registry
    from raysweep.training.device.compilation import check_compiles
    from raysweep.training.symmetry import check_symmetry

    for label, family in space.families.items():
        solved_later = ({**family.fixed, "width": 1},)
        complete: dict[str, int] = {}
        for index, size in enumerate(solved_later if family.ladder else (*family.members(), family.base_size())):
            try:
                knobs = registry.check_size(family.architecture, size).model_dump_json()
            except RaysweepError as error:
                raise space.error(_key_of(space.families[label], label, str(error)), str(error)) from error
            if complete.setdefault(knobs, index) != index < len(family.sizes):
                first = json.dumps(dict(family.members()[complete[knobs]]))
                raise space.error(
                    ("families", label, "sizes"),
                    f"{json.dumps(dict(size))} is the same network as {first}, by the knobs that one of them leaves "
                    "to the architecture: leave one of the two out",
                )
            try:
                check_symmetry(family.architecture, size, family.symmetry)
            except RaysweepError as error:
                raise space.error(("families", label, "symmetry"), str(error)) from error
        if space.training.compile:
            try:
                check_compiles(family.architecture)
            except RaysweepError as error:
                raise space.error(("training", "compile"), str(error)) from error


def _key_of(family: Family, label: str, message: str) -> tuple[str, ...]:
    """Return the path of the first key of a family that a message names."""
    for part, knobs in (
        ("sizes", family.sizes[0] if family.sizes else {}),
        ("fixed", family.fixed),
        ("base", family.base),
    ):
        for knob in knobs:
            if re.search(rf"\b{re.escape(knob)}\b", message.split(";")[0]):
                return ("families", label, part, knob)
    return ("families", label, "architecture")


def check_mup(space: Space, facts: DataFacts | None) -> None:
    """Check that muP has a multiplier for all weights that grow along the ladders.

    Networks of other packages are built for it (seconds); raysweep's own are known to be right.

    Args:
        space: the search space, its ladders solved.
        facts: about its structures; None while the store is still to be made.

    Raises:
        SpaceError: there is none; names the weights.
    """
    if space.entrypoint is not None or space.learning_rate.transfer != "mup":
        return
    from raysweep.models.base import DatasetInfo
    from raysweep.models.mup import rate_groups
    from raysweep.models.registry import create, is_built_in

    around = DatasetInfo(elements=(1, 6), scale=1.0)
    if facts is not None and space.data is not None:
        from raysweep.data.store.store import open_store

        manifest = open_store(space.data.store).manifest
        around = DatasetInfo(elements=tuple(sorted(manifest.reference_energies)), scale=manifest.rms_force)
    for label, family in space.families.items():
        if is_built_in(family.architecture):
            continue
        others = [size for size in family.members() if size != family.base_size()]
        for size in others[:1] + others[1:][-1:]:  # the ends of a ladder: what grows does so all along it
            try:
                base, model = (
                    create(family.architecture, of, space.forces, around, 0) for of in (family.base_size(), size)
                )
                rate_groups(model, base, f"architecture {family.architecture!r}")
            except SpaceError as error:
                raise space.error(("families", label, "architecture"), str(error)) from error
