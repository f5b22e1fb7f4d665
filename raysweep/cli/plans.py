"""`plan` and `schema`, which read no points and so do not import the frontier."""

import json
from collections.abc import Sequence

import typer

from raysweep.cli.show import print_json, show
from raysweep.cli.spaces import read_space
from raysweep.core.terminal.live import working
from raysweep.sweep.space.space import Space


def show_plan(path: str, overrides: Sequence[str], *, adaptive: bool, as_json: bool) -> None:
    """Print what a sweep would run."""
    from raysweep.sweep.preview import plan

    space = read_space(path, overrides, adaptive=adaptive)
    with working("measuring costs"):
        found = plan(space)
    if as_json:
        print_json(found.to_dict())
    else:
        show(found.table())


def show_schema() -> None:
    """Print the JSON schema of a search space."""
    typer.echo(json.dumps(Space.model_json_schema(), indent=1))
