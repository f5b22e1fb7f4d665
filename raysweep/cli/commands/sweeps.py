"""`run`, `choose` and `plan`."""

import typer

from raysweep.cli.commands.options import (
    AdaptiveRounds,
    Json,
    Overrides,
    RaceBudget,
    RaceCompute,
    RaceDelta,
    RaceError,
    RaceInference,
    Space,
    TrackingUri,
)

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
    at: RaceCompute = None,
    budget: RaceBudget = None,
    delta: RaceDelta = None,
    error: RaceError = None,
    inference_steps: RaceInference = None,
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
