"""Locations of architectures: raysweep's own, and the entry points of other packages. Needs no torch."""

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from raysweep.core.errors import SpaceError

GROUP = "raysweep.models"
"""Entry-point group by which packages add architectures."""

BUILT_IN = {
    "mpnn": "raysweep.models.architectures.mpnn:ARCHITECTURE",
    "egnn": "raysweep.models.architectures.egnn:ARCHITECTURE",
    "gemnet": "raysweep.models.architectures.gemnet:ARCHITECTURE",
    "hybrid": "raysweep.models.architectures.hybrid:ARCHITECTURE",
    "schnet": "raysweep.models.architectures.schnet:ARCHITECTURE",
    "dimenetpp": "raysweep.models.architectures.dimenetpp:ARCHITECTURE",
    "visnet": "raysweep.models.architectures.visnet:ARCHITECTURE",
    "tensor": "raysweep.models.architectures.tensor:ARCHITECTURE",
}
"""Modules and names of raysweep's own architectures, which are imported on first use."""


@cache
def plug_ins() -> dict[str, EntryPoint]:
    """The entry points of other packages, by the name of their architecture.

    Raises:
        SpaceError: two architectures have the same name.
    """
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        if entry.name in BUILT_IN or entry.name in found:
            owner = "raysweep itself" if entry.name in BUILT_IN else f"{found[entry.name].value}"
            raise SpaceError(
                f"two architectures are named {entry.name!r}: {entry.value} and that of {owner}. Rename the entry "
                f"point (group {GROUP}) in the package that adds it, or uninstall one."
            )
        found[entry.name] = entry
    return found
