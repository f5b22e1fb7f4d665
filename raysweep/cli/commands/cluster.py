"""`submit`, `stop`, `status` and `doctor`."""

from typing import Annotated, Literal

import typer

from raysweep.cli.commands.options import (
    AdaptiveRounds,
    Address,
    AllowOpen,
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
def submit(
    space: Space,
    address: Address,
    overrides: Overrides = None,
    adaptive: AdaptiveRounds = False,
    choose: Annotated[bool, typer.Option("--choose", help="race the families, as `raysweep choose` does")] = False,
    at: RaceCompute = None,
    budget: RaceBudget = None,
    delta: RaceDelta = None,
    error: RaceError = None,
    inference_steps: RaceInference = None,
    prove: Annotated[
        str | None,
        typer.Option(
            metavar="ID|all|new",
            help="prove forecasts, as `raysweep forecast --prove` does; new: of one made --at C first",
        ),
    ] = None,
    tracking_uri: TrackingUri = None,
    environment: Annotated[
        Literal["cluster", "pip", "any"],
        typer.Option(help="cluster: its own, equal to this one; pip: this one, installed there; any: not checked"),
    ] = "cluster",
    max_package: Annotated[float, typer.Option(min=0.1, max=100, metavar="MIB", help="largest package to send")] = 20,
    detach: Annotated[bool, typer.Option("--detach", help="submit without following the log")] = False,
    allow_open: AllowOpen = False,
) -> None:
    """Run a sweep as a job of a Ray cluster, or join the job that does.

    Packs this folder and follows the log; ctrl-c leaves the sweep running. A sweep that was stopped or died is resumed.
    """
    from raysweep.cli.jobs import submit_sweep
    from raysweep.jobs.commands import job_of

    race = {"at": at, "budget": budget, "delta": delta, "error": error, "inference-steps": inference_steps}
    job, options = job_of(race, adaptive=adaptive, choose=choose, prove=prove)
    options += [] if tracking_uri is None else ["--tracking-uri", tracking_uri]
    raise typer.Exit(
        submit_sweep(
            space, overrides or [], address, job=job, options=options, environment=environment, limit_mib=max_package,
            follow=not detach, allow_open=allow_open,
        )
    )  # fmt: skip


@app.command()
def stop(space: Space, address: Address, overrides: Overrides = None, allow_open: AllowOpen = False) -> None:
    """Stop the job of a sweep so that it can be resumed.

    Everything is saved; `raysweep submit` resumes the sweep.
    """
    from raysweep.cli.jobs import stop_sweep

    raise typer.Exit(stop_sweep(space, overrides or [], address, allow_open=allow_open))


@app.command()
def status(
    space: Space,
    overrides: Overrides = None,
    address: Annotated[
        str | None, typer.Option(metavar="URL", help="dashboard of the cluster that the sweep was submitted to")
    ] = None,
    allow_open: AllowOpen = False,
    json: Json = False,
) -> None:
    """Show the progress of a sweep.

    Trials by state, learning rates and the best loss of each family, also while the sweep runs.
    """
    if address is not None:
        from raysweep.cli.jobs import show_remote_status

        raise typer.Exit(show_remote_status(space, overrides or [], address, as_json=json, allow_open=allow_open))
    from raysweep.cli.status import show_status

    show_status(space, overrides or [], as_json=json)


@app.command()
def doctor(
    space: Annotated[str | None, typer.Argument(metavar="[SPACE]", help="the search space to run")] = None,
    overrides: Overrides = None,
    address: Annotated[
        str | None, typer.Option(metavar="URL", help="dashboard of a cluster; default: this machine, or RAY_ADDRESS")
    ] = None,
    allow_open: AllowOpen = False,
    json: Json = False,
) -> None:
    """Find faults that would break a sweep, and say how to fix them.

    Versions, GPUs, disk, clocks, ports, token, stale Ray sessions; with SPACE also storage, data, MLflow and resources.
    Exit status 1 if there is a fault.
    """
    from raysweep.cli.doctor import show_findings

    raise typer.Exit(show_findings(space, overrides or [], address, as_json=json, allow_open=allow_open))
