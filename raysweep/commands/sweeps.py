"""`run`, `plan` and `schema`."""

import json
from collections.abc import Sequence

import typer

from raysweep.commands.show import print_json
from raysweep.sweep.space import Space, load_space


def read_space(path: str, overrides: Sequence[str], tracking_uri: str | None = None) -> Space:
    """Return a search space, with the tracking URI of the command line in it."""
    given = [] if tracking_uri is None else [f"tracking.uri={tracking_uri}"]
    return load_space(path, [*overrides, *given])


def show_plan(path: str, overrides: Sequence[str], *, as_json: bool) -> None:
    """Print what a sweep would run."""
    from raysweep.sweep.plan import plan

    found = plan(read_space(path, overrides))
    if as_json:
        print_json(found.to_dict())
    else:
        typer.echo(found.table())


def show_schema() -> None:
    """Print the JSON schema of a search space."""
    typer.echo(json.dumps(Space.model_json_schema(), indent=1))
