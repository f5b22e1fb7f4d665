"""`export`: what is printed of model files."""

import typer

from raysweep.cli.show import print_json, show
from raysweep.core.io.files import absolute
from raysweep.core.terminal.live import working
from raysweep.core.text import columns, knobs, short
from raysweep.data.elements import SYMBOLS
from raysweep.storage.reader import SweepReader
from raysweep.trained.model import load
from raysweep.trained.record import ModelRecord
from raysweep.trained.sweeps import choose_point, write_chosen


def export_trial(
    source: str, trial: str, file: str, *, family: str | None, budget: float | None, data: str | None, as_json: bool
) -> None:
    """Write a trained model of a sweep to a file and describe it."""
    reader = SweepReader(storage_of(source))
    with working("writing the model"):
        chosen = choose_point(reader, trial, family=family, budget=budget)
        write_chosen(reader, chosen, file, data)
        record = load(file).record
    lower = chosen.passed_over
    if lower is not None:
        typer.echo(
            f"note: trial {lower.trial_id} has a loss of {lower.loss:.4g} at budget {lower.budget:g}, but its weights "
            "are not kept (keep_weights: best keeps them)",
            err=True,
        )
    if as_json:
        print_json({"file": absolute(file), **record.model_dump(mode="json")})
        return
    show(columns([("model", absolute(file)), *rows_of(record)]))


def storage_of(source: str) -> str:
    """Locate the storage of a search space, or take the source as one."""
    if not source.endswith((".yaml", ".yml")):
        return source
    from raysweep.cli.spaces import read_run_space

    return read_run_space(source).storage


def rows_of(record: ModelRecord) -> list[tuple[str, str]]:
    """Describe a model in rows of key and text."""
    point = record.origin.point
    errors = ", ".join(
        f"{name} {short(value, 4)}{unit}"
        for name, unit in (("loss", ""), ("energy_mae", " eV/atom"), ("force_l2", " eV/Å"))
        if isinstance(value := point.get(name), float)
    )
    return [
        ("network", f"{record.architecture} {knobs(record.size)}"),
        ("elements", " ".join(SYMBOLS[z] for z in record.elements)),
        ("forces", record.forces + (", averaged over frames" if record.frames else "")),
        ("trial", f"{record.origin.trial_id}, budget {point.get('budget'):g} {point.get('budget_kind')}"),
        ("errors", errors),
    ]
