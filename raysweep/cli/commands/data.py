"""`data make`, `data import`, `data export`, `data summary`, `data info` and `data check`."""

from typing import Annotated, Literal

import typer

from raysweep.cli.commands.options import Json, StoreOrSpace, Workers

app = typer.Typer(
    name="data",
    help="Make, import, describe and check structure stores.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("make")
def data_make(
    location: Annotated[str, typer.Argument(metavar="STORE|SPACE", help="a new folder, or a search space (YAML)")],
    structures: Annotated[
        int | None, typer.Option(min=1, max=10**9, help="structures to label; default: as in the search space")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="seed of molecules and displacements")] = None,
    preset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="small-organics, organics, diverse, reactive or large-organics"),
    ] = None,
    workers: Workers = None,
    address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Ray cluster to use; default: RAY_ADDRESS, if set")
    ] = None,
) -> None:
    """Make a store of molecules labelled by GFN2-xTB.

    On all cores of this machine, or of a Ray cluster. Running it again resumes where it stopped.
    """
    from raysweep.cli.data import make_data

    make_data(location, structures, seed, preset, workers, address)


@app.command("import")
def data_import(
    location: Annotated[str, typer.Argument(metavar="STORE", help="a new folder or URI")],
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="files, or folders of files")],
    format: Annotated[
        Literal["aselmdb", "extxyz", "md17", "spice", "ani1x", "mptrj", "parquet", "ase", "hdf5", "asedb"] | None,
        typer.Option(help="default: recognized by the content of each file"),
    ] = None,
    group_by: Annotated[
        Literal["molecule", "formula", "structure"], typer.Option(help="unit that the split never divides")
    ] = "molecule",
    energy_key: Annotated[str | None, typer.Option(metavar="KEY", help="default: the format's own")] = None,
    forces_key: Annotated[str | None, typer.Option(metavar="KEY", help="default: the format's own")] = None,
    group_key: Annotated[str, typer.Option(metavar="KEY", help="key of the molecule's name")] = "group",
    charge_key: Annotated[str, typer.Option(metavar="KEY", help="'': ignore charges")] = "charge",
    spin_key: Annotated[str, typer.Option(metavar="KEY", help="'': ignore multiplicities")] = "spin",
    source_key: Annotated[str, typer.Option(metavar="KEY", help="key of the part of the data set")] = "data_id",
    numbers_key: Annotated[str | None, typer.Option(metavar="KEY", help="array or column")] = None,
    positions_key: Annotated[str | None, typer.Option(metavar="KEY", help="array or column")] = None,
    cell_key: Annotated[str | None, typer.Option(metavar="KEY", help="array or column; '': no cells")] = None,
    pbc_key: Annotated[str | None, typer.Option(metavar="KEY", help="array or column")] = None,
    energy_unit: Annotated[
        str | None, typer.Option(metavar="UNIT", help="default: what the file states, else the format's own")
    ] = None,
    length_unit: Annotated[
        str | None, typer.Option(metavar="UNIT", help="default: what the file states, else the format's own")
    ] = None,
    forces_unit: Annotated[
        str | None, typer.Option(metavar="UNIT", help="default: what the file states, else energy per length")
    ] = None,
    validation_fraction: Annotated[float, typer.Option(metavar="SHARE", help="share of the groups to hold out")] = 0.1,
    stratify: Annotated[
        bool, typer.Option("--stratify", help="hold out that share of each source (--source-key, or the file)")
    ] = False,
    held_out: Annotated[
        str | None, typer.Option(metavar="FILE", help="groups to hold out instead of a share, one per line")
    ] = None,
    workers: Workers = None,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="read on a Ray cluster; default: RAY_ADDRESS, if set")
    ] = None,
    force_limit: Annotated[
        float | None, typer.Option(metavar="EV_PER_Å", help="leave out structures with a larger force on any atom")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="leave out and count unusable structures instead of stopping")
    ] = False,
    licence: Annotated[str, typer.Option(metavar="TEXT", help="licence of the data, for the manifest")] = "not stated",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="seed of the split and the order")] = 0,
) -> None:
    """Import published data into a store.

    OMol25, OMat24, SPICE, ANI-1x, MD17, MPtrj, extxyz, Parquet and the formats of ASE. Running it again resumes.
    """
    from raysweep.cli.data import Names, import_data

    names = Names(
        energy=energy_key, forces=forces_key, group=group_key, charge=charge_key, spin=spin_key, source=source_key,
        numbers=numbers_key, positions=positions_key, cell=cell_key, pbc=pbc_key,
        energy_unit=energy_unit, length_unit=length_unit, forces_unit=forces_unit,
    )  # fmt: skip
    import_data(
        location, files, names, format=format, group_by=group_by, force_limit=force_limit, skip_bad=skip_bad,
        licence=licence, seed=seed, validation_fraction=validation_fraction, stratify=stratify, held_out=held_out,
        workers=workers, ray=ray,
    )  # fmt: skip


@app.command("export")
def data_export(
    location: StoreOrSpace,
    target: Annotated[str, typer.Argument(metavar="FILE", help="a new .parquet file")],
) -> None:
    """Write a store as one Parquet file.

    For DuckDB, pandas, Polars and anything else; `data import` reads it back.
    """
    from raysweep.cli.data import export_data

    export_data(location, target)


@app.command("summary")
def data_summary(
    location: StoreOrSpace,
    out: Annotated[str | None, typer.Option(metavar="FILE", help="file of the picture; default: in the store")] = None,
) -> None:
    """Draw a summary of a store and list its outliers.

    Elements, sizes, energies and forces; outliers are found by rules and stay in the store.
    """
    from raysweep.cli.data import summarise_data

    summarise_data(location, out)


@app.command("info")
def data_info(
    location: StoreOrSpace,
    cutoff: Annotated[
        float | None, typer.Option(min=0, metavar="Å", help="also count the edges per atom within this cutoff")
    ] = None,
    json: Json = False,
) -> None:
    """Describe a store.

    Counts, units, elements, reference energies and fingerprint.
    """
    from raysweep.cli.data import show_data

    show_data(location, cutoff=cutoff, as_json=json)


@app.command("check")
def data_check(
    location: StoreOrSpace,
) -> None:
    """Check the whole content of a store against its manifest."""
    from raysweep.cli.data import check_data

    check_data(location)
