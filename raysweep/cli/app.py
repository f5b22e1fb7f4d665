"""The `raysweep` command: its groups of commands, and the exit statuses of early ends and failures.

Nothing heavy is imported before a command needs it.
"""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from raysweep.cli.commands import cluster, data, forecasts, models, points, spaces, sweeps
from raysweep.core.errors import OutputError, RaysweepError, Stopped
from raysweep.core.terminal.streams import BROKEN_PIPE_STATUS, command_streams, print_notice
from raysweep.core.version import __version__


class _Commands(TyperGroup):
    """Commands that can be stopped and resumed: a stop prints one line and has its own exit status."""

    def invoke(self, ctx: Any) -> object:  # noqa: ANN401 - Typer brings a copy of Click that it keeps to itself
        try:
            return super().invoke(ctx)
        except Stopped as stopped:
            print_notice(str(stopped))
            raise typer.Exit(stopped.exit_code) from None


app = typer.Typer(
    cls=_Commands,
    name="raysweep",
    help="Scaling sweeps on Ray for neural force fields: which architecture, how large, on how much data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for commands in (sweeps.app, cluster.app, points.app, forecasts.app, models.app, spaces.app, data.app):
    app.add_typer(commands)


def main() -> None:
    """Run the command line; an error that the user can fix is one line on standard error and exit status 1."""
    with command_streams():
        try:
            app(prog_name="raysweep")
        except OutputError as error:
            if error.broken_pipe:
                raise SystemExit(BROKEN_PIPE_STATUS) from None
            print_notice(str(error))
            raise SystemExit(1) from None
        except RaysweepError as error:
            lines = (line.strip() for line in str(error).splitlines())
            print_notice("; ".join(line for line in lines if line))
            raise SystemExit(1) from None
        except OSError as error:  # of a file that the user named
            place = "" if error.filename is None else f"{str(error.filename)!r}: "
            print_notice(f"{place}{' '.join(str(error.strerror or error).split())}")
            raise SystemExit(1) from None


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"raysweep {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version and exit")
    ] = False,
) -> None:
    pass
