"""`frontier`, `hyperparameters`, `report`, `sync` and `ui`."""

from typing import Annotated, Literal

import typer

from raysweep.cli.commands.options import Json, Overrides, Space, TrackingUri
from raysweep.storage import layout

app = typer.Typer()


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
    group: Annotated[
        str | None,
        typer.Option("--group", "--architecture", metavar="COLUMN", help="column of the families to fit separately"),
    ] = None,
    trajectory: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="column that names the training run of each point")
    ] = None,
    weight: Annotated[str | None, typer.Option(metavar="COLUMN", help="column of the points' weights")] = None,
    unique_data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN|AMOUNT",
            help="column of the distinct part of D; as a number: the distinct data that the optimum may use",
        ),
    ] = None,
    law: Annotated[str, typer.Option(metavar="LAW", help="law of the loss, as in docs/frontier.md")] = "auto",
    asymptote: Annotated[
        str, typer.Option(metavar="LOSS", help="value at which the asymptote E is held; free: fitted")
    ] = "free",
    purpose: Annotated[
        str, typer.Option(metavar="PURPOSE", help="exponents, or prediction: predict larger runs better")
    ] = "exponents",
    window: Annotated[
        str,
        typer.Option(metavar="FROM,TO", help="D of the points to fit; auto: after the transition; all: every point"),
    ] = "auto",
    share: Annotated[
        list[str] | None,
        typer.Option(metavar="PARAMETER", help="E, alpha or beta: equal in all families; may be repeated"),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="ROWS", help="rows to leave out, from 0: 3, 3,7 or 10-12; repeatable")
    ] = None,
    optimal: Annotated[
        list[float] | None, typer.Option(metavar="FLOPS", help="compute to find the best model for; may be repeated")
    ] = None,
    target_loss: Annotated[
        list[float] | None,
        typer.Option(metavar="LOSS", help="loss to find the cheapest model for; may be repeated"),
    ] = None,
    inference_steps: Annotated[
        float,
        typer.Option(metavar="M", help="atom-steps of inference that count as cost, beside training: atoms x MD steps"),
    ] = 0.0,
    method: Annotated[
        Literal["parametric", "envelope", "isoflop"],
        typer.Option(help="approach to the compute-optimal model"),
    ] = "parametric",
    contrasts: Annotated[
        bool,
        typer.Option("--contrasts", help="also compare the families: differences, orders, crossings"),
    ] = False,
    data_unit: Annotated[
        str | None, typer.Option(metavar="WORD", help="what D counts, for the figures: tokens, atoms, structures")
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="FOLDER", help=f"also write {layout.REPORT_PAGE} and the figures there")
    ] = None,
    tracking_uri: TrackingUri = None,
    json: Json = False,
) -> None:
    """Fit the compute-optimal frontier to any points.

    Prints exponents with intervals, and the best N and D for a compute. The points of a search space are read from its
    MLflow. All options reach the report that --out writes as well.
    """
    from raysweep.cli.points import Columns, computes, distinct_data, show_frontier
    from raysweep.report.content.questions import make_question

    column, amount = distinct_data(unique_data or [])
    columns = Columns(
        params=params,
        data=data,
        flops=flops,
        loss=loss,
        architecture=group,
        trajectory=trajectory,
        weight=weight,
        unique_data=column,
    )
    question = make_question(
        method=method,
        law=law,
        asymptote=asymptote,
        purpose=purpose,
        window=window,
        share=share or [],
        exclude=exclude or [],
        computes=computes(optimal or []),
        losses=target_loss or [],
        inference_steps=inference_steps,
        unique_data=amount,
    )
    show_frontier(
        source,
        columns,
        question,
        tracking_uri=tracking_uri,
        as_json=json,
        out=out,
        contrasts=contrasts,
        data_unit=data_unit,
    )


@app.command()
def hyperparameters(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help=".csv or .parquet of runs, a sweep's storage, or its search space")
    ],
    params: Annotated[str, typer.Option(metavar="COLUMN", help="column of N, trainable parameters")] = "params",
    data: Annotated[str, typer.Option(metavar="COLUMN", help="column of D, tokens or atoms seen")] = "data",
    learning_rate: Annotated[str, typer.Option(metavar="COLUMN", help="column of the learning rate")] = "learning_rate",
    batch: Annotated[str, typer.Option(metavar="COLUMN", help="column of the batch size")] = "batch",
    loss: Annotated[str, typer.Option(metavar="COLUMN", help="column of the validation loss")] = "loss",
    architecture: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="column of the families to fit separately")
    ] = None,
    trajectory: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="column of the run, where one has several rows")
    ] = None,
    at: Annotated[
        list[str] | None, typer.Option(metavar="N,D", help="find the best values there; may be repeated")
    ] = None,
    batch_with_params: Annotated[
        bool, typer.Option("--batch-with-params", help="let the best batch size depend on N, too")
    ] = False,
    out: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="also write the fits (JSON) and a figure of the valleys there")
    ] = None,
    json: Json = False,
) -> None:
    """Fit the best learning rate and batch size as powers of N and D.

    From runs at several N and D with several learning rates, batch sizes, or both. A sweep's own are those of its
    learning-rate searches.
    """
    from raysweep.cli.answers.hyperparameters import show_hyperparameters

    given = {"params": params, "data": data, "learning_rate": learning_rate, "batch": batch, "loss": loss}
    named = {**given, "architecture": architecture, "trajectory": trajectory}
    columns = {name: column for name, column in named.items() if column is not None and column != name}
    show_hyperparameters(source, columns, at or [], batch_with_params=batch_with_params, out=out, as_json=json)


@app.command()
def report(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="search space, storage, .csv or .parquet of points")],
    overrides: Overrides = None,
    out: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="where to write; default: report/ in the sweep's storage")
    ] = None,
    data_unit: Annotated[
        str | None, typer.Option(metavar="WORD", help="what D counts in a file of points: tokens, atoms, structures")
    ] = None,
) -> None:
    """Write report.html and its figures.

    From the points that a sweep has so far, or from any points.
    """
    from raysweep.cli.points import write_report

    write_report(source, overrides or [], out, data_unit)


@app.command()
def sync(space: Space, overrides: Overrides = None, tracking_uri: TrackingUri = None) -> None:
    """Bring MLflow up to date with the trial store.

    Running it again changes nothing.
    """
    from raysweep.cli.tracking import sync_sweep

    sync_sweep(space, overrides or [], tracking_uri)


@app.command()
def ui(
    space: Space,
    overrides: Overrides = None,
    tracking_uri: TrackingUri = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="port on the loopback address")] = 5000,
) -> None:
    """Serve MLflow's pages of a sweep.

    For this machine only (loopback); prints the address. Ctrl-c stops it.
    """
    from raysweep.cli.tracking import serve_ui

    serve_ui(space, overrides or [], tracking_uri, port)
