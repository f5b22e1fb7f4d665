"""The command line: parses, calls, prints. Nothing heavy is imported before a command asks for it."""

from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from raysweep.core.errors import OutputError, RaysweepError, Stopped
from raysweep.core.terminal.streams import BROKEN_PIPE_STATUS, command_streams, tell
from raysweep.core.version import __version__
from raysweep.storage import layout


class _Commands(TyperGroup):
    """Commands that may end before they are complete, to go on later: one line, and an exit status that says so."""

    def invoke(self, ctx: Any) -> object:  # noqa: ANN401 - Typer brings a copy of Click that it keeps to itself
        try:
            return super().invoke(ctx)
        except Stopped as stopped:
            tell(str(stopped))
            raise typer.Exit(stopped.exit_code) from None


app = typer.Typer(
    cls=_Commands,
    name="raysweep",
    help="Scaling sweeps on Ray for neural force fields: which architecture, how large, on how much data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(
    help="Make, import, describe and check structure stores.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(data_app, name="data")

Space = Annotated[str, typer.Argument(metavar="SPACE", help="search space, a YAML file")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="override a value, such as grid.seeds=[0,1]")
]
Workers = Annotated[int | None, typer.Option(min=1, max=10_000, help="processes; default: one for each core")]
Json = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]
TrackingUri = Annotated[
    str | None, typer.Option(metavar="URI", help="MLflow tracking URI; default: the search space's own")
]
Address = Annotated[
    str,
    typer.Option(
        metavar="URL", envvar="RAY_API_SERVER_ADDRESS", help="of the cluster's dashboard, such as http://127.0.0.1:8265"
    ),
]
AllowOpen = Annotated[
    bool, typer.Option("--allow-open", help="take a cluster on another machine that asks nobody for a token")
]
AdaptiveRounds = Annotated[
    bool, typer.Option("--adaptive", help="run only what the answer needs, in rounds (see `adaptive` in SPACE)")
]


def main() -> None:
    """Run the command line; what the user can mend is one line on standard error and exit status 1."""
    with command_streams():
        try:
            app(prog_name="raysweep")
        except OutputError as error:
            if error.broken_pipe:
                raise SystemExit(BROKEN_PIPE_STATUS) from None
            tell(str(error))
            raise SystemExit(1) from None
        except RaysweepError as error:
            lines = (line.strip() for line in str(error).splitlines())
            tell("; ".join(line for line in lines if line))
            raise SystemExit(1) from None
        except OSError as error:  # a place that the user named and that cannot be read or written
            place = "" if error.filename is None else f"{str(error.filename)!r}: "
            tell(f"{place}{' '.join(str(error.strerror or error).split())}")
            raise SystemExit(1) from None


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"raysweep {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version and exit")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    space: Space, overrides: Overrides = None, adaptive: AdaptiveRounds = False, tracking_uri: TrackingUri = None
) -> None:
    """Run a sweep, or what is left of it.

    Then write the report and print the frontier. Running it again does nothing that is done.
    """
    from raysweep.cli.sweeps import run_sweep

    raise typer.Exit(run_sweep(space, overrides or [], tracking_uri, adaptive=adaptive))


@app.command()
def plan(space: Space, overrides: Overrides = None, adaptive: AdaptiveRounds = False, json: Json = False) -> None:
    """Show what would run, and what it would cost.

    Trajectories, N, D, FLOPs, device seconds and disk. Nothing is trained; unknown costs are measured (seconds each).
    """
    from raysweep.cli.sweeps import show_plan

    show_plan(space, overrides or [], adaptive=adaptive, as_json=json)


@app.command()
def submit(
    space: Space,
    address: Address,
    overrides: Overrides = None,
    adaptive: AdaptiveRounds = False,
    tracking_uri: TrackingUri = None,
    environment: Annotated[
        Literal["cluster", "pip", "any"],
        typer.Option(help="cluster: its own, which has to equal this one; pip: made there as this one; any: unchecked"),
    ] = "cluster",
    max_package: Annotated[float, typer.Option(min=0.1, max=100, metavar="MIB", help="largest package to send")] = 20,
    detach: Annotated[bool, typer.Option("--detach", help="do not follow the log")] = False,
    allow_open: AllowOpen = False,
) -> None:
    """Run a sweep as a job of a Ray cluster, or join the job that does.

    Packs this folder, follows the log; ctrl-c leaves the sweep running. One that was stopped or died goes on.
    """
    from raysweep.cli.jobs import submit_sweep

    options = ["--adaptive"] if adaptive else []
    options += [] if tracking_uri is None else ["--tracking-uri", tracking_uri]
    raise typer.Exit(
        submit_sweep(
            space, overrides or [], address, options=options, environment=environment, limit_mib=max_package,
            follow=not detach, allow_open=allow_open,
        )
    )  # fmt: skip


@app.command()
def stop(space: Space, address: Address, overrides: Overrides = None, allow_open: AllowOpen = False) -> None:
    """End the job of a sweep so that it resumes.

    Everything is saved; `raysweep submit` goes on with what is left.
    """
    from raysweep.cli.jobs import stop_sweep

    raise typer.Exit(stop_sweep(space, overrides or [], address, allow_open=allow_open))


@app.command()
def status(
    space: Space,
    overrides: Overrides = None,
    address: Annotated[
        str | None, typer.Option(metavar="URL", help="of a cluster's dashboard, where the sweep was submitted to it")
    ] = None,
    allow_open: AllowOpen = False,
    json: Json = False,
) -> None:
    """Show how far a sweep is.

    Trials by state, learning rates and the best loss of each family. May be asked while the sweep runs.
    """
    if address is not None:
        from raysweep.cli.jobs import show_remote_status

        raise typer.Exit(show_remote_status(space, overrides or [], address, as_json=json, allow_open=allow_open))
    from raysweep.cli.status import show_status

    show_status(space, overrides or [], as_json=json)


@app.command()
def doctor(
    space: Annotated[str | None, typer.Argument(metavar="[SPACE]", help="a search space that is to run")] = None,
    overrides: Overrides = None,
    address: Annotated[
        str | None, typer.Option(metavar="URL", help="of a cluster's dashboard; default: this machine, or RAY_ADDRESS")
    ] = None,
    allow_open: AllowOpen = False,
    json: Json = False,
) -> None:
    """Look for what would break a sweep, and name the remedies.

    Versions, GPUs, disk, clocks, ports, token, Ray's leftovers; with SPACE also storage, data, MLflow and resources.
    Exit status 1 where there is a fault.
    """
    from raysweep.cli.doctor import show_findings

    raise typer.Exit(show_findings(space, overrides or [], address, as_json=json, allow_open=allow_open))


@app.command()
def frontier(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="search space, MLflow experiment, .csv or .parquet of points, or storage"
        ),
    ],
    params: Annotated[str, typer.Option(metavar="COLUMN", help="column of N, trainable parameters")] = "params",
    data: Annotated[str, typer.Option(metavar="COLUMN", help="column of D, tokens or atoms seen")] = "data",
    flops: Annotated[str, typer.Option(metavar="COLUMN", help="column of C, training FLOPs")] = "flops",
    loss: Annotated[str, typer.Option(metavar="COLUMN", help="column of the validation loss")] = "loss",
    architecture: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="column that names the families to fit apart")
    ] = None,
    optimal: Annotated[
        list[float] | None, typer.Option(metavar="FLOPS", help="answer for this compute; may be repeated")
    ] = None,
    method: Annotated[
        Literal["parametric", "envelope", "isoflop"], typer.Option(help="approach that gives the compute-optimal model")
    ] = "parametric",
    out: Annotated[
        str | None, typer.Option(metavar="FOLDER", help=f"also write {layout.REPORT_PAGE} and the figures there")
    ] = None,
    tracking_uri: TrackingUri = None,
    json: Json = False,
) -> None:
    """Fit the compute-optimal frontier to any points.

    Prints exponents with intervals, and the best N and D for a compute. A search space is read from its MLflow.
    """
    from raysweep.cli.points import Columns, show_frontier

    columns = Columns(params=params, data=data, flops=flops, loss=loss, architecture=architecture)
    asked = optimal or []
    show_frontier(source, columns, optimal=asked, method=method, tracking_uri=tracking_uri, as_json=json, out=out)


@app.command()
def report(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="search space, storage, .csv or .parquet of points")],
    overrides: Overrides = None,
    out: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="where to write; default: report/ in the sweep's storage")
    ] = None,
) -> None:
    """Write report.html and its figures.

    From what the sweep has so far, or from anyone's points.
    """
    from raysweep.cli.points import write_report

    write_report(source, overrides or [], out)


@app.command()
def sync(space: Space, overrides: Overrides = None, tracking_uri: TrackingUri = None) -> None:
    """Make MLflow equal to the trial store.

    Running it again changes nothing.
    """
    from raysweep.cli.tracking import sync_sweep

    sync_sweep(space, overrides or [], tracking_uri)


@app.command()
def ui(
    space: Space,
    overrides: Overrides = None,
    tracking_uri: TrackingUri = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="on the loopback address")] = 5000,
) -> None:
    """Serve MLflow's pages of a sweep.

    On this machine alone (loopback); prints the address. Ctrl-c ends it.
    """
    from raysweep.cli.tracking import serve_ui

    serve_ui(space, overrides or [], tracking_uri, port)


@app.command("check-transfer")
def check_transfer(
    architecture: Annotated[str, typer.Argument(metavar="ARCH", help="mpnn, egnn, gemnet, tensor, ...")],
    store: Annotated[str, typer.Argument(metavar="STORE", help="structure store to train on")],
    knobs: Annotated[
        list[str] | None, typer.Argument(metavar="[KNOB=VALUE]...", help="fixed knobs, such as depth=2 l_max=2")
    ] = None,
    widths: Annotated[
        str, typer.Option(metavar="LIST", help="to train at; the first is the base, where rates are given")
    ] = "16,32,64,128",
    coordinate_widths: Annotated[
        str, typer.Option(metavar="LIST", help="to follow activations at")
    ] = "16,32,64,128,256",
    rates: Annotated[str, typer.Option(metavar="LIST", help="learning rates")] = "0.0025,0.005,0.01,0.02,0.04,0.08",
    structures: Annotated[int, typer.Option(min=1, max=10**9, help="of a training")] = 2000,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="trainings at each width and rate")] = 1,
    coordinate_seeds: Annotated[int, typer.Option(min=1, max=1000, help="networks to follow at each width")] = 16,
    direct: Annotated[bool, typer.Option("--direct", help="direct forces; default: conservative")] = False,
    out: Annotated[str, typer.Option(metavar="FOLDER", help="where the figure is written")] = ".",
    json: Json = False,
) -> None:
    """Check that a learning rate tuned at a small width holds at large ones.

    Trains each width at each rate and follows the activations over the first steps (the coordinate check of muP).
    Exit status 1 where the best rate moves, or activations drift, by more than a factor 2.
    """
    from raysweep.cli.transfer import numbers, show_transfer, wholes

    status = show_transfer(
        architecture, store, knobs=knobs or [], widths=wholes("--widths", widths),
        coordinate_widths=wholes("--coordinate-widths", coordinate_widths),
        rates=numbers("--rates", rates), structures=structures, seeds=seeds, coordinate_seeds=coordinate_seeds,
        conservative=not direct, out=out, as_json=json,
    )  # fmt: skip
    raise typer.Exit(status)


@app.command()
def schema() -> None:
    """Print the JSON schema of a search space."""
    from raysweep.cli.sweeps import show_schema

    show_schema()


@data_app.command("make")
def data_make(
    location: Annotated[str, typer.Argument(metavar="STORE|SPACE", help="a new folder, or a search space (YAML)")],
    structures: Annotated[
        int | None, typer.Option(min=1, max=10**9, help="structures to label; default: the search space's")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="of molecules and displacements")] = None,
    preset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="small-organics, organics, diverse, reactive or large-organics"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="processes; default: one for each core")
    ] = None,
    address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Ray cluster to make it on; default: RAY_ADDRESS, else none")
    ] = None,
) -> None:
    """Make a store of molecules labelled by GFN2-xTB.

    On all cores of this machine, or of a Ray cluster. Running it again goes on where it was stopped.
    """
    from raysweep.cli.data import make_data

    make_data(location, structures, seed, preset, workers, address)


@data_app.command("import")
def data_import(
    location: Annotated[str, typer.Argument(metavar="STORE", help="a new folder or URI")],
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="files, or folders of files")],
    format: Annotated[
        Literal["aselmdb", "extxyz", "md17", "spice", "ani1x", "mptrj", "parquet", "ase", "hdf5", "asedb"] | None,
        typer.Option(help="default: by what each file is"),
    ] = None,
    group_by: Annotated[
        Literal["molecule", "formula", "structure"], typer.Option(help="what never stands on both sides of the split")
    ] = "molecule",
    energy_key: Annotated[str | None, typer.Option(metavar="KEY", help="default: the format's own")] = None,
    forces_key: Annotated[str | None, typer.Option(metavar="KEY", help="default: the format's own")] = None,
    group_key: Annotated[str, typer.Option(metavar="KEY", help="of the molecule's name")] = "group",
    charge_key: Annotated[str, typer.Option(metavar="KEY", help="'': charges are left out")] = "charge",
    spin_key: Annotated[str, typer.Option(metavar="KEY", help="'': multiplicities are left out")] = "spin",
    source_key: Annotated[str, typer.Option(metavar="KEY", help="of the part of the data set")] = "data_id",
    numbers_key: Annotated[str | None, typer.Option(metavar="KEY", help="of arrays and columns")] = None,
    positions_key: Annotated[str | None, typer.Option(metavar="KEY", help="of arrays and columns")] = None,
    cell_key: Annotated[str | None, typer.Option(metavar="KEY", help="of arrays and columns; '': no cells")] = None,
    pbc_key: Annotated[str | None, typer.Option(metavar="KEY", help="of arrays and columns")] = None,
    energy_unit: Annotated[
        str | None, typer.Option(metavar="UNIT", help="default: what the file states, else the format's own")
    ] = None,
    length_unit: Annotated[
        str | None, typer.Option(metavar="UNIT", help="default: what the file states, else the format's own")
    ] = None,
    forces_unit: Annotated[
        str | None, typer.Option(metavar="UNIT", help="default: what the file states, else energy per length")
    ] = None,
    validation_fraction: Annotated[float, typer.Option(metavar="SHARE", help="of the groups, held out")] = 0.1,
    stratify: Annotated[
        bool, typer.Option("--stratify", help="hold out that share of each source (--source-key, else the file)")
    ] = False,
    held_out: Annotated[
        str | None, typer.Option(metavar="FILE", help="groups to hold out instead of a share, one a line")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="processes; default: one for each core")
    ] = None,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="read on a Ray cluster; default: RAY_ADDRESS, if set")
    ] = None,
    force_limit: Annotated[
        float | None, typer.Option(metavar="EV_PER_Å", help="leave out structures with a longer force on any atom")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="leave out and count what cannot be used, instead of stopping")
    ] = False,
    licence: Annotated[str, typer.Option(metavar="TEXT", help="of the data, for the manifest")] = "not stated",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="of the split and the order")] = 0,
) -> None:
    """Import published data into a store.

    OMol25, OMat24, SPICE, ANI-1x, MD17, MPtrj, extxyz, Parquet and what ASE reads. Killed, it goes on where it was.
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


@data_app.command("export")
def data_export(
    location: Annotated[str, typer.Argument(metavar="STORE|SPACE", help="a store, or a search space (YAML)")],
    target: Annotated[str, typer.Argument(metavar="FILE", help="a new .parquet file")],
) -> None:
    """Write a store as one Parquet file.

    For DuckDB, pandas, Polars and anything else; `data import` reads it back.
    """
    from raysweep.cli.data import export_data

    export_data(location, target)


@data_app.command("summary")
def data_summary(
    location: Annotated[str, typer.Argument(metavar="STORE|SPACE", help="a store, or a search space (YAML)")],
    out: Annotated[str | None, typer.Option(metavar="FILE", help="of the picture; default: in the store")] = None,
) -> None:
    """Draw what is in a store, and name what stands out.

    Elements, sizes, energies and forces as a picture; outliers by rule, none of which is left out.
    """
    from raysweep.cli.data import summarise_data

    summarise_data(location, out)


@data_app.command("info")
def data_info(
    location: Annotated[str, typer.Argument(metavar="STORE|SPACE", help="a store, or a search space (YAML)")],
    cutoff: Annotated[
        float | None, typer.Option(min=0, metavar="Å", help="also say how many edges an atom has within it")
    ] = None,
    json: Json = False,
) -> None:
    """Describe a store.

    Counts, units, elements, reference energies and fingerprint.
    """
    from raysweep.cli.data import show_data

    show_data(location, cutoff=cutoff, as_json=json)


@data_app.command("check")
def data_check(
    location: Annotated[str, typer.Argument(metavar="STORE|SPACE", help="a store, or a search space (YAML)")],
) -> None:
    """Check a store against its manifest, whole."""
    from raysweep.cli.data import check_data

    check_data(location)
