"""Search spaces from the command line: a file, overrides, and options that act as overrides."""

from collections.abc import Mapping, Sequence

import typer

from raysweep.storage.reader import SweepReader
from raysweep.sweep.space.identity import differences, refuse_other_sweep
from raysweep.sweep.space.space import Space, load_space


def read_space(
    path: str,
    overrides: Sequence[str],
    tracking_uri: str | None = None,
    *,
    adaptive: bool = False,
    race: Mapping[str, object] | None = None,
) -> Space:
    """Load a search space with the options of the command line applied; those of a race that are None are left out."""
    given = [] if tracking_uri is None else [f"tracking.uri={tracking_uri}"]
    given += ["adaptive.enabled=true"] if adaptive else []
    if race is not None:
        given += ["race.enabled=true", *(f"race.{key}={value}" for key, value in race.items() if value is not None)]
    return load_space(path, [*overrides, *given])


def read_run_space(path: str, overrides: Sequence[str] = (), tracking_uri: str | None = None) -> Space:
    """Load a search space to report on its last run, and print the settings that differ in that run.

    Raises:
        SpaceError: its storage holds another sweep.
    """
    space = read_space(path, overrides, tracking_uri)
    reader = SweepReader(space.storage)
    refuse_other_sweep(space, reader)
    for sentence in differences(space, reader):
        typer.echo(f"{path}: {sentence}; what follows describes the last run", err=True)
    return space
