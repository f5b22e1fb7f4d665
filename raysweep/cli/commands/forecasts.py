"""`forecast` and `train`."""

from typing import Annotated

import typer

from raysweep.cli.commands.options import Json, Overrides, Space, TrackingUri

app = typer.Typer()


@app.command()
def forecast(
    space: Space,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]... [KEY=VALUE]...", help="forecasts to prove; override a value (caps.hours=1)"),
    ] = None,
    at: Annotated[
        float | None, typer.Option("--at", metavar="FLOPS", help="record a forecast of the best run at this compute")
    ] = None,
    family: Annotated[
        str | None, typer.Option(metavar="NAME", help="family to forecast; default: the best one at that compute")
    ] = None,
    retrodiction: Annotated[
        bool, typer.Option("--retrodiction", help="record it although its run has begun, under that name")
    ] = False,
    prove: Annotated[
        bool,
        typer.Option("--prove", help="train runs and score their forecasts: ID ..., all, or the latest that waits"),
    ] = False,
    tracking_uri: TrackingUri = None,
    json: Json = False,
) -> None:
    """Forecast the best run at a compute, on record before there is such a run.

    Family, size, data, learning rate, and the loss and metrics with prediction intervals, by the sweep's own fit; named
    by the hash of its content. --prove trains that run, resumable and within caps, in a stage of its own that enters no
    fit. Without --at and --prove: every forecast beside its outcome.
    """
    from raysweep.cli.answers.forecasts import Asked, show_forecasts

    asked = Asked(at=at, family=family, retrodiction=retrodiction, prove=prove)
    raise typer.Exit(show_forecasts(space, overrides or [], asked, tracking_uri, as_json=json))


@app.command()
def train(
    space: Space,
    overrides: Overrides = None,
    at: Annotated[
        float | None, typer.Option("--at", metavar="FLOPS", help="train the best model at this compute")
    ] = None,
    family: Annotated[
        str | None, typer.Option(metavar="NAME", help="family of the model; default: the best one at that compute")
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="KNOBS", help="train the model of this size: width=32,depth=2")
    ] = None,
    structures: Annotated[
        int | None, typer.Option(metavar="N", help="structures that it sees, in place of --at")
    ] = None,
    epochs: Annotated[float, typer.Option(help="passes that these make over different ones")] = 1.0,
    rate: Annotated[
        float | None, typer.Option(metavar="RATE", help="its learning rate; default: as the sweep tuned it")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="its seed; default: the grid's first")] = None,
    go_on: Annotated[
        str | None, typer.Option(metavar="TRIAL", help="go on from this trial until --structures are seen")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="show what would be trained and what it costs")] = False,
    tracking_uri: TrackingUri = None,
    json: Json = False,
) -> None:
    """Train the best model at a compute, or one that is named, after its sweep.

    Size, data and learning rate follow from the sweep; the forecast is recorded first and shown beside the outcome.
    Resumable and within caps, in a stage of its own that enters no fit.
    """
    from raysweep.cli.answers.models import size_knobs, train_model
    from raysweep.sweep.forecasts.models import ModelRequest

    request = ModelRequest(
        flops=at, family=family, size=None if size is None else size_knobs(size), structures=structures,
        epochs=epochs, rate=rate, seed=seed, go_on=go_on,
    )  # fmt: skip
    raise typer.Exit(train_model(space, overrides or [], request, tracking_uri, plan_only=plan, as_json=json))
