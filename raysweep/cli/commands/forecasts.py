"""`forecast`."""

from typing import Annotated

import typer

from raysweep.cli.commands.options import Json, Space, TrackingUri

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
