"""`data make`, `data import`, `data info` and `data check`."""

from collections.abc import Mapping, Sequence

import typer

from raysweep.commands.show import ProgressBar, columns, print_json
from raysweep.commands.sweeps import read_space
from raysweep.data.formats.ase_readable import Names
from raysweep.data.imports import Format, GroupBy, import_store
from raysweep.errors import RaysweepError
from raysweep.sweep.space import Data

__all__ = ["Names", "check_data", "import_data", "make_data", "show_data"]

STRUCTURES = 24000
"""Of a store that is made without a search space: as many as the quickstart's."""


def make_data(
    location: str, structures: int | None, seed: int | None, workers: int | None, address: str | None
) -> None:
    """Make a store from the embedded source, on a Ray cluster where an address or RAY_ADDRESS names one."""
    from raysweep.data import xtb  # imports RDKit and tblite
    from raysweep.sweep.ray_workers import data_workers

    recipe = _data_of(location)
    if recipe is not None and recipe.make is not None:
        structures = recipe.make.structures if structures is None else structures
        seed = recipe.make.seed if seed is None else seed
    place = location if recipe is None else recipe.store
    count = STRUCTURES if structures is None else structures
    bar = ProgressBar()
    with bar:
        store = xtb.make_store(
            place, structures=count, seed=seed or 0, pool=data_workers(address, workers), progress=bar.update
        )
    typer.echo(columns(_lines(store.info())))


def import_data(
    location: str,
    files: Sequence[str],
    names: Names,
    *,
    format: Format | None,
    group_by: GroupBy,
    force_limit: float | None,
    skip_bad: bool,
    licence: str,
    seed: int,
) -> None:
    """Import files into a store and say what it holds."""
    store = import_store(
        location,
        files,
        format=format,
        names=names,
        group_by=group_by,
        force_limit=force_limit,
        skip_bad=skip_bad,
        licence=licence,
        seed=seed,
    )
    typer.echo(columns(_lines(store.info())))


def show_data(location: str, *, cutoff: float | None, as_json: bool) -> None:
    """Print what a store's manifest says; with a cutoff (Å) its edges and triplets per atom, too."""
    from raysweep.data.store import open_store

    store = open_store(_place(location))
    info = store.info()
    if cutoff is not None:
        from raysweep.data.batches import neighbourhood

        info |= neighbourhood(store, cutoff)
    if as_json:
        print_json(info)
    else:
        typer.echo(columns(_lines(info)))


def check_data(location: str) -> None:
    """Read a whole store and say whether it is what its manifest promises."""
    from raysweep.data.store import open_store

    store = open_store(_place(location))
    store.check()
    typer.echo(f"{store.location}: whole, fingerprint {store.manifest.fingerprint}")


def _data_of(location: str) -> Data | None:
    """Return the data part of a search space; None where the location is no search space."""
    if not location.endswith((".yaml", ".yml")):
        return None
    space = read_space(location, [])
    if space.data is None:
        raise RaysweepError(f"{location}: the search space has no `data`, so there is no store to speak of")
    return space.data


def _place(location: str) -> str:
    data = _data_of(location)
    return location if data is None else data.store


def _lines(info: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return a nested mapping as lines of a key and a text."""
    rows = []
    for key, value in info.items():
        if isinstance(value, Mapping):
            rows += [(f"{key} {inner}", text) for inner, text in _lines(value)]
        else:
            rows.append((key, _text(value)))
    return rows


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
