"""`export` and `evaluate`: what is printed of model files."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import typer

from raysweep.cli.show import print_json, show
from raysweep.core.errors import ModelError
from raysweep.core.io.files import absolute, open_location, read_whole, write_whole
from raysweep.core.terminal.live import working
from raysweep.core.text import columns, knobs, short
from raysweep.data.elements import SYMBOLS
from raysweep.data.formats.fields.blocks import Names
from raysweep.data.formats.readers import Format
from raysweep.storage.reader import SweepReader
from raysweep.tracking.model_versions import register_model
from raysweep.tracking.sweep_runs import MlflowPlace
from raysweep.trained.evaluation import ModelErrors, evaluate_files
from raysweep.trained.model import load
from raysweep.trained.record import ModelRecord
from raysweep.trained.sweeps import choose_point, write_chosen


def export_trial(
    source: str,
    trial: str,
    file: str,
    *,
    family: str | None,
    budget: float | None,
    data: str | None,
    register: str | None,
    as_json: bool,
) -> None:
    """Write a trained model of a sweep to a file, on request register it in MLflow, and describe it."""
    place = None if register is None else _mlflow_of(source)
    reader = SweepReader(storage_of(source))
    with working("writing the model"):
        chosen = choose_point(reader, trial, family=family, budget=budget)
        write_chosen(reader, chosen, file, data)
        model = load(file)
        record, card = model.record, f"{file}.md"
        write_whole(*open_location(card), model.card().encode())
    lower = chosen.passed_over
    if lower is not None:
        typer.echo(
            f"note: trial {lower.trial_id} has a loss of {lower.loss:.4g} at budget {lower.budget:g}, but its weights "
            "are not kept (keep_weights: best keeps them)",
            err=True,
        )
    registered = None
    if place is not None and register is not None:
        with working("registering the model"):
            blob = read_whole(*open_location(file)) or b""
            registered = register_model(
                place, register, (Path(file).name, blob), (Path(card).name, model.card()), record.origin.trial_id
            ).uri
    if as_json:
        print_json(
            {"file": absolute(file), "card": absolute(card), "registered": registered, **record.model_dump(mode="json")}
        )
        return
    rows = [("model", absolute(file)), ("card", absolute(card)), *rows_of(record)]
    show(columns([*rows, *([] if registered is None else [("registered", registered)])]))


def _mlflow_of(source: str) -> MlflowPlace:
    """Locate the MLflow of a search space.

    Raises:
        ModelError: the source is a storage, which does not say where MLflow is, or the sweep does without MLflow.
    """
    if not _is_space(source):
        raise ModelError(f"--register: {source} is a storage; give the search space (YAML), which says where MLflow is")
    from raysweep.cli.spaces import read_run_space
    from raysweep.sweep.mlflow.place import place_of

    space = read_run_space(source)
    if not space.tracking.enabled:
        raise ModelError(f"--register: {source} has tracking.enabled: false, so that its trials have no runs in MLflow")
    return place_of(space)


def _is_space(source: str) -> bool:
    return source.endswith((".yaml", ".yml"))


def storage_of(source: str) -> str:
    """Locate the storage of a search space, or take the source as one."""
    if not _is_space(source):
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


def evaluate_model(
    model: str,
    files: Sequence[str],
    format: Format | None,
    names: Names,
    *,
    skip_bad: bool,
    out: str | None,
    as_json: bool,
) -> None:
    """Print the errors of a model on files of structures; with `out` also draw them there."""
    loaded = load(model)
    with working("evaluating"):
        found = evaluate_files(loaded, files, format=format, names=names, skip_bad=skip_bad)
    if out is not None:
        for name, picture in _pictures(model, found).items():
            write_whole(*open_location(f"{out.rstrip('/')}/{name}"), picture)
    if as_json:
        parts: dict[str, object] = {"overall": asdict(found.overall)}
        for key in ("by_element", "by_source"):
            parts[key] = {name: asdict(errors) for name, errors in getattr(found, key).items()}
        units = {"energy": "meV/atom", "forces": "meV/Å"}
        print_json({"model": absolute(model), "units": units, **parts, "rejected": found.rejected})
        return
    rows = [("all", found.overall), *found.by_element.items(), *found.by_source.items()]
    head = ("", "structures", "energy MAE meV/atom", "RMSE", "force MAE meV/Å", "RMSE")
    table = [
        (
            name,
            str(part.energy.count),
            *(short(x, 4) for one in (part.energy, part.forces) for x in (one.mae, one.rmse)),
        )
        for name, part in rows
    ]
    show(columns([head, *table]))
    for reason, count in found.rejected.items():
        typer.echo(f"left out: {count}: {reason}", err=True)
    if out is not None:
        show(f"figures: {absolute(out)}")


def _pictures(model: str, found: ModelErrors) -> dict[str, bytes]:
    """Draw the errors, by the name of the file."""
    from raysweep.report.figures.model_errors import parity_picture, size_picture

    title = f"{Path(model).name}: {len(found.energy)} structures, {len(found.forces)} atoms"
    energy = 1000 * abs(found.predicted_energy - found.energy)
    first = found.n_atoms.cumsum() - found.n_atoms
    force = 1000 * np.add.reduceat(abs(found.predicted_forces - found.forces).mean(axis=1), first) / found.n_atoms
    forces = (found.forces, found.predicted_forces)
    return {
        "parity.png": parity_picture(title, (found.energy, found.predicted_energy), forces),
        "errors_by_size.png": size_picture(title, found.n_atoms, energy, force),
    }
