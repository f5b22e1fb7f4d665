"""`train`: a model of a finished sweep, planned, trained, and shown beside its forecast."""

import dataclasses
from collections.abc import Sequence

from raysweep.cli.answers.forecasts import interval, plain
from raysweep.cli.points import tell_report
from raysweep.cli.show import print_json, show
from raysweep.cli.spaces import read_space
from raysweep.cli.sweeps import write_and_track
from raysweep.core.errors import RaysweepError
from raysweep.core.messages import last_line
from raysweep.core.terminal.live import error_console, working
from raysweep.core.terminal.streams import print_notice
from raysweep.core.text import amount, columns, knobs, short
from raysweep.core.trial import SizeValue
from raysweep.storage.forecasts import TrainedModel
from raysweep.sweep.cluster.driver.signals import interruptible
from raysweep.sweep.forecasts.models import ModelRequest, PlannedModel, plan_model, train_planned
from raysweep.sweep.mlflow.place import mirror_of, place_of
from raysweep.sweep.space.yaml_lines import parse


def train_model(
    path: str,
    overrides: Sequence[str],
    request: ModelRequest,
    tracking_uri: str | None,
    *,
    plan_only: bool,
    as_json: bool,
) -> int:
    """Plan a model, train it, write the report, and print its outcome beside its forecast.

    Args:
        path: of the search space.
        overrides: of its values.
        request: the model.
        tracking_uri: of MLflow; None: the search space's own.
        plan_only: print what would be trained and what it would cost, and train nothing.
        as_json: print JSON instead of text; progress goes to standard error.

    Returns:
        The exit status: 0 where the model is trained (or planned), 1 where its run failed.
    """
    space = read_space(path, overrides, tracking_uri)
    if space.tracking.enabled and not plan_only:
        place_of(space)  # an error before hours of work, not after
    with working("fitting the frontier"):
        planned = plan_model(space, request)
    if plan_only and as_json:
        print_json(planned_json(planned))
    if not as_json:
        show(_plan_text(planned))
    if plan_only:
        return 0
    with interruptible():
        model = train_planned(
            space,
            planned,
            mirror=mirror_of if space.tracking.enabled else None,
            console=error_console() if as_json else None,
        )
        written = write_and_track(space)
    if as_json:
        print_json({"plan": planned_json(planned), "model": model_json(model)})
    else:
        show(_outcome_text(model))
        tell_report(written)
    if not model.done:
        reason = last_line(model.message) or "no message"
        print_notice(f"the model's run {model.trial_id} is {model.state}: {reason}")
    return 0 if model.done else 1


def size_knobs(given: str) -> dict[str, SizeValue]:
    """Read the knobs of a size: `width=32,depth=2`.

    Raises:
        RaysweepError: it is not written so.
    """
    found: dict[str, SizeValue] = {}
    for part in given.split(","):
        knob, equals, text = part.partition("=")
        value = parse(text, f"--size {given}").value if equals and knob.strip() else None
        if not isinstance(value, int | float | str):
            raise RaysweepError(f"--size {given!r}: write the knobs as width=32,depth=2")
        found[knob.strip()] = value
    return found


def planned_json(planned: PlannedModel) -> dict[str, object]:
    """Return a plan as plain values, for JSON."""
    named = ("family", "params", "structures", "data", "flops", "seconds", "notes")
    made = planned.forecast
    return {
        "trial_id": planned.spec.trial_id,
        **{name: getattr(planned, name) for name in named},
        "size": dict(planned.spec.size),
        "epochs": planned.spec.epochs,
        "seed": planned.spec.seed,
        "learning_rate": dataclasses.asdict(planned.rate),
        "state": str(planned.state),
        "forecast": None if made is None else {"id": made.id, **dataclasses.asdict(made)},
    }


def model_json(model: TrainedModel) -> dict[str, object]:
    """Return a trained model as plain values, for JSON."""
    return {
        **dataclasses.asdict(model),
        "forecast": None if model.forecast is None else plain(model.forecast),
        "inside": model.inside,
    }


def _plan_text(planned: PlannedModel) -> str:
    made = planned.forecast
    rows = [
        ("model", f"{planned.family} {knobs(planned.spec.size)}: N = {planned.params}"),
        (
            "data",
            f"D = {planned.data:.6g} atoms, {planned.structures} structures, {planned.spec.epochs:.3g} epochs, "
            f"seed {planned.spec.seed}",
        ),
        ("learning rate", f"{planned.rate.rate:g}, {planned.rate.sentence}"),
        ("cost", f"{planned.flops:.4g} FLOP, about {amount(planned.seconds)} device s here"),
        ("trial", f"{planned.spec.trial_id}, {str(planned.state).replace('_', ' ')}"),
    ]
    if made is not None:
        rows += [(f"{name} forecast", f"{interval(one)}, {made.level:.0%}") for name, one in made.expected.items()]
    return "\n".join([columns(rows), *planned.notes])


def _outcome_text(model: TrainedModel) -> str:
    """Lay out each measured quantity beside the forecast."""
    last, forecast = model.last, model.forecast
    lines = [f"\n{model.family} {knobs(model.size)} ({model.trial_id}): {model.state.replace('_', ' ')}"]
    if last is None:
        return lines[0]
    rows = [("", "measured", "forecast", "error", "")]
    for name in ("loss", "energy_mae", "force_l2"):
        measured = getattr(last, name)
        expected = None if forecast is None else forecast.forecast.expected.get(name)
        score = None if forecast is None else forecast.scores.get(name)
        if measured is None:
            continue
        rows.append(
            (
                name,
                short(measured, 4),
                "-" if expected is None else interval(expected),
                "" if score is None else f"{score.error:+.2%}",
                "" if score is None or score.inside is None else "inside" if score.inside else "outside",
            )
        )
    return "\n".join([*lines, columns(rows), f"weights: {model.checkpoints}"])
