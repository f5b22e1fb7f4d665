"""`run`, `choose` and `plan`."""

from typing import Annotated

import typer

from raysweep.cli.commands.options import AdaptiveRounds, Json, Overrides, Space, TrackingUri

app = typer.Typer()


@app.command()
def run(
    space: Space, overrides: Overrides = None, adaptive: AdaptiveRounds = False, tracking_uri: TrackingUri = None
) -> None:
    """Run a sweep, or resume it.

    Then write the report and print the frontier. Finished trials are never run again.
    """
    from raysweep.cli.sweeps import run_sweep

    raise typer.Exit(run_sweep(space, overrides or [], tracking_uri, adaptive=adaptive))


@app.command()
def choose(
    space: Space,
    overrides: Overrides = None,
    at: Annotated[
        float | None, typer.Option(metavar="C", help="training FLOPs at which families compete; default: race.at_flops")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="BUDGET", help="wall-clock (10m), device hours (2dh) or FLOPs (1e15); default: the grid"),
    ] = None,
    delta: Annotated[float | None, typer.Option(help="share of the loss below which families are equal [.02]")] = None,
    error: Annotated[float | None, typer.Option(help="largest probability of a wrong verdict [.05]")] = None,
    inference_steps: Annotated[
        float | None, typer.Option(metavar="M", help="atom-steps of inference that C pays for as well [0]")
    ] = None,
    tracking_uri: TrackingUri = None,
    json: Json = False,
) -> None:
    """Find the family that is best at a compute, by a race, or resume it.

    Runs what the answer needs, where it is least certain: the best family, those equal within delta, or what it takes.
    Exit status: 0 decided, 3 not decided within the budget, 1 no verdict.
    """
    from raysweep.cli.sweeps import choose_family

    race = {"at_flops": at, "budget": budget, "delta": delta, "error": error, "inference_steps": inference_steps}
    raise typer.Exit(choose_family(space, overrides or [], tracking_uri, race, as_json=json))


@app.command()
def plan(space: Space, overrides: Overrides = None, adaptive: AdaptiveRounds = False, json: Json = False) -> None:
    """Show what would run, and what it would cost.

    Trajectories, N, D, FLOPs, device seconds and disk. Nothing is trained; unknown costs are measured (seconds each).
    """
    from raysweep.cli.plans import show_plan

    show_plan(space, overrides or [], adaptive=adaptive, as_json=json)
