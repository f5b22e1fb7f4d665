"""Arguments and options that several commands share."""

from typing import Annotated

import typer

Space = Annotated[str, typer.Argument(metavar="SPACE", help="search space, a YAML file")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="override a value, such as grid.seeds=[0,1]")
]
StoreOrSpace = Annotated[str, typer.Argument(metavar="STORE|SPACE", help="a store, or a search space (YAML)")]
Workers = Annotated[int | None, typer.Option(min=1, max=10_000, help="processes; default: one per core")]
Json = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]
TrackingUri = Annotated[
    str | None, typer.Option(metavar="URI", help="MLflow tracking URI; default: the search space's own")
]
Address = Annotated[
    str,
    typer.Option(
        metavar="URL", envvar="RAY_API_SERVER_ADDRESS", help="the cluster's dashboard, such as http://127.0.0.1:8265"
    ),
]
AllowOpen = Annotated[
    bool, typer.Option("--allow-open", help="accept a cluster on another machine that requires no token")
]
AdaptiveRounds = Annotated[
    bool,
    typer.Option("--adaptive", help="run only what the answer needs, in rounds (see `adaptive` in SPACE)"),
]
RaceCompute = Annotated[
    float | None,
    typer.Option("--at", metavar="C", help="training FLOPs at which families compete; default: race.at_flops"),
]
RaceBudget = Annotated[
    str | None,
    typer.Option(
        "--budget", metavar="BUDGET", help="wall-clock (10m), device hours (2dh) or FLOPs (1e15); default: the grid"
    ),
]
RaceDelta = Annotated[
    float | None, typer.Option("--delta", help="share of the loss below which families are equal [.02]")
]
RaceError = Annotated[float | None, typer.Option("--error", help="largest probability of a wrong verdict [.05]")]
RaceInference = Annotated[
    float | None,
    typer.Option("--inference-steps", metavar="M", help="atom-steps of inference that C pays for as well [0]"),
]
