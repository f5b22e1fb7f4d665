"""`run` and `plan`."""

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
def plan(space: Space, overrides: Overrides = None, adaptive: AdaptiveRounds = False, json: Json = False) -> None:
    """Show what would run, and what it would cost.

    Trajectories, N, D, FLOPs, device seconds and disk. Nothing is trained; unknown costs are measured (seconds each).
    """
    from raysweep.cli.plans import show_plan

    show_plan(space, overrides or [], adaptive=adaptive, as_json=json)
