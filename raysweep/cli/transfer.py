"""`check-transfer`."""

import math
from collections.abc import Sequence
from pathlib import Path

from raysweep.cli.show import print_json, show
from raysweep.core.errors import SpaceError
from raysweep.core.terminal.live import counting
from raysweep.core.text import columns
from raysweep.core.trial import SizeValue, TrialSpec
from raysweep.data.store.store import Store, open_store
from raysweep.models.registry import check_size
from raysweep.report.figures.transfer import transfer_figure
from raysweep.sweep.space import yaml_lines
from raysweep.sweep.tuning.transfer_check import TransferCheck, check_transfer, mean_loss

DRIFT = 2.0
"""Activations whose scales at two widths differ by more than this factor do not transfer; learning rates likewise."""


def show_transfer(
    architecture: str,
    store: str,
    *,
    knobs: Sequence[str],
    widths: Sequence[int],
    coordinate_widths: Sequence[int],
    rates: Sequence[float],
    structures: int,
    seeds: int,
    coordinate_seeds: int,
    conservative: bool,
    out: str,
    as_json: bool,
) -> int:
    """Check an architecture, write the figure, print the result; return 0 if learning rates transfer, else 1."""
    base, *others = dict.fromkeys(widths)
    size: dict[str, SizeValue] = {**_knobs(knobs), "width": base}
    check_size(architecture, size)
    opened = open_store(store)
    spec = _spec(architecture, size, opened, structures, rates[0], conservative=conservative)
    with counting("trainings") as count:
        check = check_transfer(
            spec,
            opened,
            rates=sorted(rates),
            widths=others,
            coordinate_widths=coordinate_widths,
            seeds=range(seeds),
            coordinate_seeds=range(coordinate_seeds),
            progress=count.update,
        )
    figure = _draw(check, Path(out), architecture)
    if as_json:
        print_json({**check.to_dict(), "figure": str(figure)})
    else:
        show(_text(check))
        show(f"figure: {figure}")
    return 0 if check.shift is not None and check.shift <= DRIFT and check.drift[0] < DRIFT else 1


def _spec(
    architecture: str, size: dict[str, SizeValue], store: Store, structures: int, rate: float, *, conservative: bool
) -> TrialSpec:
    """Build the specification of one training, from which those of the other widths and rates are derived."""
    return TrialSpec(
        architecture=architecture,
        size=size,
        forces="conservative" if conservative else "direct",
        fingerprint=store.manifest.fingerprint,
        structures=structures,
        validation_structures=min(256, store.manifest.validation_structures),
        data_budgets=(float(store.read(store.subset(structures)).n_atoms.sum()),),
        learning_rate=rate,
    )


def _draw(check: TransferCheck, folder: Path, architecture: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    figure = folder / f"transfer-{architecture}.png"
    figure.write_bytes(transfer_figure(check.losses, check.best, check.scales))
    return figure


def _text(check: TransferCheck) -> str:
    drift, module = check.drift
    rows = [("width", "best rate", "loss there")]
    for width, rate in check.best.items():
        lowest = min(mean_loss(of) for _, of in check.losses[width])
        rows.append((str(width), *(("none", "diverged") if rate is None else (f"{rate:g}", f"{lowest:.3f}"))))
    shift = "unknown" if check.shift is None else f"a factor {check.shift:.2f}"
    return "\n".join(
        [
            columns(rows),
            f"best learning rate, base to any other width: {shift} (at most {DRIFT:g})",
            f"scale of activations over widths: at most a factor {drift:.2f}, at {module} (below {DRIFT:g})",
            f"scale of the outputs after the steps: a factor {check.output_drift:.2f}",
        ]
    )


def numbers(option: str, text: str) -> list[float]:
    """Parse a list of positive numbers such as `0.01,0.02`.

    Raises:
        SpaceError: an entry is not a number above 0.
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or not all(0 < value < math.inf for value in values):
        raise SpaceError(f"{option} {text!r}: give numbers above 0, separated by commas, such as 16,32,64.")
    return values


def wholes(option: str, text: str) -> list[int]:
    """Parse a list of positive integers such as `16,32,64`.

    Raises:
        SpaceError: an entry is not an integer above 0.
    """
    values = numbers(option, text)
    if not all(value.is_integer() for value in values):
        raise SpaceError(f"{option} {text!r}: give whole numbers, such as 16,32,64.")
    return [int(value) for value in values]


def _knobs(pairs: Sequence[str]) -> dict[str, SizeValue]:
    knobs: dict[str, SizeValue] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise SpaceError(f"{pair!r} is not KEY=VALUE; give knobs as in l_max=2.")
        parsed = yaml_lines.parse(value, f"knob {pair!r}").value
        if not isinstance(parsed, int | float | str):
            raise SpaceError(f"{pair!r}: the value must be a number, a word, true or false, as in l_max=2.")
        knobs[key] = parsed
    return knobs
