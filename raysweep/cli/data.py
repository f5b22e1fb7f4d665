"""The `data` commands: make, import, export, summarize, describe and check a structure store."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from raysweep.cli.show import print_json, show
from raysweep.cli.spaces import read_space
from raysweep.core.errors import RaysweepError
from raysweep.core.terminal.live import counting, working
from raysweep.core.text import columns
from raysweep.data.formats.fields.blocks import Names
from raysweep.data.formats.readers import Format
from raysweep.data.generation.presets import DEFAULT_PRESET
from raysweep.data.importing.converting import GroupBy
from raysweep.data.importing.imports import InOrder, import_store
from raysweep.sweep.cluster.driver.signals import interruptible
from raysweep.sweep.space.data import Data

__all__ = ["Names", "check_data", "export_data", "import_data", "make_data", "show_data", "summarise_data"]

STRUCTURES = 24000
"""In a store that is made without a search space, as in the quickstart's."""


def make_data(
    location: str,
    structures: int | None,
    seed: int | None,
    preset: str | None,
    workers: int | None,
    address: str | None,
) -> None:
    """Make a store from the embedded source, on the Ray cluster at `address` or RAY_ADDRESS if there is one."""
    from raysweep.data.generation import xtb  # imports RDKit and tblite
    from raysweep.sweep.cluster.data_workers import data_workers

    recipe = _data_of(location)
    if recipe is not None and recipe.make is not None:
        structures = recipe.make.structures if structures is None else structures
        seed = recipe.make.seed if seed is None else seed
        preset = preset or recipe.make.preset
    place = location if recipe is None else recipe.store
    with interruptible(), counting("structures") as count:
        store = xtb.make_store(
            place,
            structures=STRUCTURES if structures is None else structures,
            preset=preset or DEFAULT_PRESET,
            seed=seed or 0,
            pool=data_workers(address, workers),
            progress=count.update,
        )
    show(columns(_lines(store.info())))


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
    validation_fraction: float,
    stratify: bool,
    held_out: str | None,
    workers: int | None,
    ray: str | None,
) -> None:
    """Import files into a store and describe it."""
    with interruptible(), counting("import") as count, _runner(ray) as in_order:
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
            validation_fraction=validation_fraction,
            stratify=stratify,
            held_out=None if held_out is None else _lines_of(held_out),
            workers=workers,
            in_order=in_order,
            progress=count.update_of,
        )
    show(columns(_lines(store.info())))
    summarise_data(location, None)


def summarise_data(location: str, figure: str | None) -> None:
    """Print and draw a summary of a store with its outliers; the figure is written beside the manifest by default."""
    from raysweep.core.io.files import open_location, write_whole
    from raysweep.data.inspection.summary import summarise
    from raysweep.data.store.store import open_store
    from raysweep.report.figures.data_summary import data_picture

    store = open_store(_place(location))
    with working("reading the store"):
        found = summarise(store)
    picture = data_picture(
        f"{store.location}: {len(store)} structures, {store.manifest.atoms} atoms",
        found.elements,
        (found.n_atoms.edges, found.n_atoms.counts),
        (found.energy.edges, found.energy.counts),
        (found.force.edges, found.force.counts),
    )
    target = figure or f"{store.location.rstrip('/')}/summary.png"
    write_whole(*open_location(target), picture)
    for one in found.outliers:
        which = f"; the worst {one.worst:.3g}, rows {', '.join(map(str, one.rows))}" if one.worst is not None else ""
        show(f"outliers: {one.count} of {one.of}: {one.rule}{which}")
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)
    show(f"picture: {target}")


@contextmanager
def _runner(ray: str | None) -> Iterator[InOrder | None]:
    """Yield the function that runs the parts on the Ray cluster given by name or by RAY_ADDRESS, if any."""
    address = ray or os.environ.get("RAY_ADDRESS")
    if not address:
        yield None
        return
    from raysweep.sweep.cluster.data_workers import RayWorkers

    with RayWorkers(address) as pool:
        yield pool.in_order


def _lines_of(file: str) -> list[str]:
    """Return the non-blank lines of a text file."""
    try:
        text = Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise RaysweepError(
            f"--held-out {file}: cannot be read ({error}). Give a text file, a group's name a line"
        ) from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def show_data(location: str, *, cutoff: float | None, as_json: bool) -> None:
    """Print a store's manifest; with a cutoff (Å) also its edges and triplets per atom."""
    from raysweep.data.store.store import open_store

    store = open_store(_place(location))
    info = store.info()
    if cutoff is not None:
        from raysweep.data.graphs.batches import neighbourhood

        info |= neighbourhood(store, cutoff)
    if as_json:
        print_json(info)
    else:
        show(columns(_lines(info)))


def export_data(location: str, target: str) -> None:
    """Write a store as one Parquet file."""
    from raysweep.data.inspection.exporting import export_store
    from raysweep.data.store.store import open_store

    store = open_store(_place(location))
    with counting("structures") as count:
        export_store(store, target, progress=count.update)
    show(f"{target}: {len(store)} structures, one row each")


def check_data(location: str) -> None:
    """Check that a store's content matches its manifest."""
    from raysweep.data.store.store import open_store

    store = open_store(_place(location))
    with working("reading the store"):
        store.check()
    show(f"{store.location}: intact, fingerprint {store.manifest.fingerprint}")


def _data_of(location: str) -> Data | None:
    """Read the `data` of a search space; None if the location is not a search space."""
    if not location.endswith((".yaml", ".yml")):
        return None
    space = read_space(location, [])
    if space.data is None:
        raise RaysweepError(f"{location}: the search space has no `data`, so there is no store to use")
    return space.data


def _place(location: str) -> str:
    data = _data_of(location)
    return location if data is None else data.store


def _lines(info: Mapping[str, object]) -> list[tuple[str, str]]:
    """Flatten a nested mapping to rows of key and text."""
    rows = []
    for key, value in info.items():
        if isinstance(value, Mapping):
            rows += [(f"{key} {inner}", text) for inner, text in _lines(value)]
        else:
            rows.append((key, _text(value)))
    return rows


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
