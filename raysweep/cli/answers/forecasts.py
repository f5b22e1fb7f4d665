"""`forecast`: forecasts on record, beside the outcomes of their runs."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import typer
from rich.console import Console

from raysweep.cli.points import tell_report
from raysweep.cli.show import print_json, show
from raysweep.cli.spaces import read_space
from raysweep.cli.sweeps import write_and_track
from raysweep.core.errors import RaysweepError
from raysweep.core.messages import last_line
from raysweep.core.terminal.live import working
from raysweep.core.terminal.streams import print_notice
from raysweep.core.text import amount, columns, knobs, short
from raysweep.storage import layout
from raysweep.storage.forecast_records import Expected, Forecast, ForecastOutcome
from raysweep.storage.forecasts import Forecasts
from raysweep.storage.reader import SweepReader
from raysweep.sweep.cluster.driver.signals import interruptible
from raysweep.sweep.forecasts.make import forecast, forecasts
from raysweep.sweep.forecasts.prove import prove_each
from raysweep.sweep.mlflow.place import mirror_of, place_of
from raysweep.sweep.space.space import Space

_HEAD = ("id", "recorded", "family", "C FLOP", "N", "D atoms", "loss expected", "outcome", "error", "")

ALL = "all"
"""Given in place of ids: every forecast that waits for its run."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options of the command."""

    at: float | None
    family: str | None
    retrodiction: bool
    prove: bool


def show_forecasts(
    path: str, arguments: Sequence[str], asked: Asked, tracking_uri: str | None, *, as_json: bool
) -> int:
    """Record a forecast, prove one, or print all of them.

    Returns:
        The exit status: 1 if the file of a forecast was altered, or the run of the one to prove failed.

    Raises:
        RaysweepError: an option needs another one, or the forecast cannot be made or proved.
    """
    named = [text for text in arguments if "=" not in text]
    _check(asked, named)
    space = read_space(path, [text for text in arguments if "=" in text], tracking_uri)
    made = None
    if asked.at is not None:
        with working("fitting the frontier"):
            made = forecast(space, flops=asked.at, family=asked.family, retrodiction=asked.retrodiction)
        if not asked.prove:
            _show_one(made, as_json=as_json)
            return 0
    if asked.prove:
        return _prove(space, [made.id] if made else named, as_json=as_json)
    return _show_all(forecasts(space), as_json=as_json)


def _check(asked: Asked, named: Sequence[str]) -> None:
    for option, given in (("--family", asked.family), ("--retrodiction", asked.retrodiction)):
        if given and asked.at is None:
            raise RaysweepError(f"{option} says how to forecast: give the compute as well (--at FLOPS)")
    if named and (not asked.prove or asked.at is not None):
        raise RaysweepError(
            f"{' '.join(named)}: give forecasts' ids to prove them (--prove), and overrides as key=value"
        )


def _prove(space: Space, ids: Sequence[str], *, as_json: bool) -> int:
    """Train the runs of forecasts, write the report, and print the forecasts beside their outcomes."""
    if space.tracking.enabled:
        place_of(space)  # an error before hours of work, not after
    asked: Sequence[str | None] = ids or [None]
    if list(ids) == [ALL]:
        asked = [one.id for one in forecasts(space).outcomes if not one.proved and one.forecast.kind == "forecast"]
    console = Console(stderr=True) if as_json else None
    with interruptible():
        outcomes = prove_each(space, asked, mirror=mirror_of if space.tracking.enabled else None, console=console)
        written = write_and_track(space)
    if as_json:
        print_json({"forecasts": [plain(one) for one in outcomes]})
    else:
        show(columns([_HEAD, *(_row(one) for one in outcomes)]))
        tell_report(written)
    failed = [one for one in outcomes if not one.proved]
    for one in failed:
        reason = last_line(SweepReader(space.storage).record(one.forecast.trial_id).message) or "no message"
        print_notice(f"the run of forecast {one.id} is {one.state}: {reason}; the same command tries again")
    return 1 if failed else 0


def _show_one(made: Forecast, *, as_json: bool) -> None:
    if as_json:
        print_json({"id": made.id, **dataclasses.asdict(made)})
        return
    near = interval(made.optimal_params)
    beyond = made.flops / made.fit.largest_flops
    rows = [
        (made.kind, f"{made.id}, recorded {made.date} in {layout.FORECASTS}/{made.id}.json"),
        ("family", made.family + _chance(made)),
        ("compute", f"{made.flops:.4g} FLOP, {beyond:.3g} × the largest of the fit"),
        ("size", f"{knobs(made.size)}: N = {made.params} (N* {near})"),
        ("data", f"D = {made.data:.6g} atoms, {made.structures} structures, {made.epochs:.3g} epochs"),
        ("learning rate", f"{made.learning_rate.rate:g}, {made.learning_rate.sentence}"),
        ("cost", f"{made.run_flops:.4g} FLOP, about {amount(made.run_seconds)} device s here"),
        *((name, f"{interval(value)}, {made.level:.0%} of single runs") for name, value in made.expected.items()),
        ("law", f"{made.fit.law}; {made.fit.points} points, status {made.fit.status}"),
    ]
    show(columns(rows))
    for note in made.notes:
        show(note)


def _chance(made: Forecast) -> str:
    if made.best_probability is None:
        return ""
    return f", the best at this compute by the fits (probability {made.best_probability:.0%})"


def _show_all(found: Forecasts, *, as_json: bool) -> int:
    if as_json:
        totals = {**dataclasses.asdict(found.totals), "share_inside": found.totals.share_inside}
        listed = [plain(one) for one in found.outcomes]
        print_json({"totals": totals, "forecasts": listed, "altered": list(found.altered)})
    else:
        show(columns([_HEAD, *(_row(one) for one in found.outcomes)]) if found.outcomes else "no forecast is on record")
        show(str(found.totals) + (f"; {len(found.altered)} altered" if found.altered else ""))
    for altered in found.altered:
        typer.echo(altered, err=True)
    return 1 if found.altered else 0


def plain(one: ForecastOutcome) -> dict[str, object]:
    """Return a forecast and its outcome as plain values, for JSON."""
    return {**dataclasses.asdict(one), "proved": one.proved}


def _row(one: ForecastOutcome) -> tuple[str, ...]:
    made = one.forecast
    score = one.scores.get("loss")
    verdict = "" if score is None or score.inside is None else "inside" if score.inside else "outside"
    kind = "" if one.blind and made.kind == "forecast" else "retrodiction" if made.kind != "forecast" else "late"
    return (
        one.id,
        made.date[:16],
        made.family,
        amount(made.flops),
        amount(made.params),
        amount(made.data),
        interval(made.expected["loss"]),
        one.state.replace("_", " ") if score is None else short(score.measured, 4),
        "" if score is None else f"{score.error:+.2%}",
        " ".join(filter(None, (verdict, kind))),
    )


def interval(value: Expected) -> str:
    """Format an expected number with its interval."""
    if value.low is None or value.high is None:
        return f"{value.value:.4g}"
    return f"{value.value:.4g} [{value.low:.4g}, {value.high:.4g}]"
