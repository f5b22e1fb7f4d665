"""Check, before any training, that muP can carry the learning rate along every ladder."""

from raysweep.core.errors import SpaceError
from raysweep.sweep.space.facts import DataFacts
from raysweep.sweep.space.space import Space


def check_mup(space: Space, facts: DataFacts | None) -> None:
    """Raise a SpaceError where muP knows no multiplier for weights that a ladder grows.

    Args:
        space: the search space, with its ladders solved; networks of other packages are made (seconds), raysweep's own
            are known to be right.
        facts: about its structures; None where the store is not made yet.
    """
    if space.entrypoint is not None or space.learning_rate.transfer != "mup":
        return
    from raysweep.models.base import Surroundings
    from raysweep.models.mup import rate_groups
    from raysweep.models.registry import create, is_built_in

    around = Surroundings(elements=(1, 6), scale=1.0)
    if facts is not None and space.data is not None:
        from raysweep.data.store.store import open_store

        manifest = open_store(space.data.store).manifest
        around = Surroundings(elements=tuple(sorted(manifest.reference_energies)), scale=manifest.rms_force)
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
