"""`run` and `choose`."""

import contextlib
import shlex
from collections.abc import Iterator, Mapping, Sequence

import typer

from raysweep.cli.points import report_folder, tell_report
from raysweep.cli.show import print_json, show
from raysweep.cli.spaces import read_space
from raysweep.core.errors import FrontierError, OutputError
from raysweep.core.io.files import absolute
from raysweep.core.terminal.live import error_console, working
from raysweep.core.terminal.streams import print_notice
from raysweep.core.trial import TrialState
from raysweep.report.content.sources import from_storage
from raysweep.report.write import Written, write
from raysweep.storage import layout
from raysweep.sweep.cluster.driver.signals import interruptible
from raysweep.sweep.mlflow.equal import catch_up
from raysweep.sweep.mlflow.place import mirror_of, place_of
from raysweep.sweep.run import SweepResult, run
from raysweep.sweep.space.space import Space

UNDECIDED_STATUS = 3
"""Exit status of a race that ended without a decision: more budget, or a larger grid, may decide it."""


def run_sweep(path: str, overrides: Sequence[str], tracking_uri: str | None, *, adaptive: bool) -> int:
    """Run a sweep, write its report and print its frontier; return the exit status, 0 if all of its grid finished."""
    space = read_space(path, overrides, tracking_uri, adaptive=adaptive)
    if space.tracking.enabled:
        place_of(space)  # an error before hours of work, not after
    with interruptible():
        result = run(space, mirror=mirror_of if space.tracking.enabled else None)
        written = write_and_track(space)
    with _output_may_be_lost(space, "the frontier"):
        show(f"\n{written.text}\n")
        for sentences in _answers(space, result):
            show(f"{sentences}\n")
        tell_report(written)
        _tell_places(space, ui_command(path, overrides, tracking_uri))
    return _verdict(result)


def _answers(space: Space, result: SweepResult) -> list[str]:
    """Return what a run answers besides its frontier: the verdict of its race, the outcome of its forecast."""
    found = []
    if space.race.enabled:
        from raysweep.sweep.mlflow.choose import race_result  # imports scipy

        found.append(str(race_result(space, result)))
    return found if result.forecast is None else [*found, str(result.forecast)]


def choose_family(
    path: str, overrides: Sequence[str], tracking_uri: str | None, race: Mapping[str, object], *, as_json: bool
) -> int:
    """Race the families of a search space, write the report, print the verdict; return the exit status, 0: decided.

    Args:
        path: of the search space.
        overrides: of its values.
        tracking_uri: of MLflow; None: the search space's own.
        race: the settings that the command line gives, None for each that it leaves to the search space.
        as_json: print JSON instead of text; progress goes to standard error.
    """
    from raysweep.sweep.mlflow.choose import race_result  # imports scipy

    space = read_space(path, overrides, tracking_uri, race=race)
    if space.tracking.enabled:
        place_of(space)
    with interruptible():
        sweep = run(
            space, mirror=mirror_of if space.tracking.enabled else None, console=error_console() if as_json else None
        )
        result = race_result(space, sweep)
        try:
            written = write_and_track(space)
        except FrontierError as error:  # no trajectory has a point
            written = None
            print_notice(str(error))
    with _output_may_be_lost(space, "the verdict"):
        if as_json:
            plain = {key: getattr(result, key) for key in ("ended", "decided", "looks", "flops", "seconds")}
            print_json({"verdict": result.verdict.to_dict() if result.verdict else None, **plain})
        else:
            show(f"\n{result}\n")
            if written is not None:
                tell_report(written)
            _tell_places(space, ui_command(path, overrides, tracking_uri))
    if result.verdict is None:
        return 1
    return 0 if result.decided else UNDECIDED_STATUS


@contextlib.contextmanager
def _output_may_be_lost(space: Space, what: str) -> Iterator[None]:
    """Keep the exit status of a sweep whose output is lost: nothing of the sweep is."""
    try:
        yield
    except OutputError as lost:
        if not lost.broken_pipe:
            print_notice(f"{lost}; {what} is in {report_folder(space.storage)}")


def write_and_track(space: Space) -> Written:
    """Write the report of a sweep, and bring MLflow up to date with the trial store and the report."""
    try:
        with working("fitting the frontier"):
            return write(from_storage(space.storage), report_folder(space.storage))
    finally:
        if space.tracking.enabled:
            with working("looking through MLflow"):
                notes = catch_up(space)
            for note in notes:
                typer.echo(note, err=True)


def _tell_places(space: Space, pages: str) -> None:
    root = absolute(space.storage)
    show(f"points: {root}/{layout.POINTS}")
    if space.tracking.enabled:
        show(f"MLflow: {pages}")


def ui_command(path: str, overrides: Sequence[str], tracking_uri: str | None) -> str:
    """Build the command that shows a sweep in MLflow, with the overrides of its name, storage and tracking."""
    kept = [text for text in overrides if text.startswith(("name=", "storage=", "tracking."))]
    kept += [] if tracking_uri is None else ["--tracking-uri", tracking_uri]
    return shlex.join(["raysweep", "ui", path, *kept])


def _verdict(result: SweepResult) -> int:
    if result.forecast is not None and not result.forecast.proved:
        print_notice(
            f"the run of forecast {result.forecast.id} is {result.forecast.state}; the same command tries again"
        )
        return 1
    if result.complete:
        return 0
    again = [state for state in TrialState if state.ended_badly and not state.is_final]
    counts = ", ".join(f"{result.count(s)} {s.replace('_', ' ')}" for s in again if result.count(s)) or "0 failed"
    rates = f"; no learning rate was found for {', '.join(result.without_rate)}" if result.without_rate else ""
    print_notice(
        f"the sweep is not complete: trials {counts}{rates}. `raysweep status` shows which and why; "
        "the same command retries them"
    )
    return 1
