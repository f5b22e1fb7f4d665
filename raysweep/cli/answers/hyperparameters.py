"""`hyperparameters`: the best learning rate and batch size as powers of N and D."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from raysweep import frontier
from raysweep.cli.show import print_json, show
from raysweep.cli.transfer import numbers
from raysweep.core.errors import FrontierError
from raysweep.core.terminal.live import working
from raysweep.core.text import columns as aligned
from raysweep.frontier.answers.values import Answer
from raysweep.frontier.hyperparameters.json_format import hyperparameters_summary
from raysweep.frontier.hyperparameters.laws import AXES
from raysweep.frontier.hyperparameters.result import HyperparameterFit, Recommendation, Setting
from raysweep.frontier.points.findings import Severity

WORDS = {"learning_rate": "learning rate", "batch": "batch size"}
MEANINGS = {
    "a": "learning rate ~ N^a",
    "b": "learning rate ~ D^b",
    "c": "batch size ~ D^c",
    "e": "batch size ~ N^e",
}


def show_hyperparameters(
    source: str,
    columns: Mapping[str, str],
    at: Sequence[str],
    *,
    batch_with_params: bool,
    out: str | None,
    as_json: bool,
) -> None:
    """Fit runs from any source, print the laws and the best values requested, and write the fits and the figure."""
    places = [_place(text) for text in at]
    if source.endswith((".yaml", ".yml")):
        from raysweep.cli.spaces import read_run_space

        source = read_run_space(source).storage
    table = frontier.read_runs(source, columns)
    with working("fitting hyperparameter laws"):
        if "architecture" in table.column_names:
            fits = frontier.fit_hyperparameters_families(table, batch_with_params=batch_with_params)
        else:
            name = Path(source.rstrip("/")).stem
            fits = {name: frontier.fit_hyperparameters(table, batch_with_params=batch_with_params)}
    if as_json:
        print_json({family: _plain(found, places) for family, found in fits.items()})
    else:
        show("\n\n".join(_text(family, found, places) for family, found in fits.items()))
    if out is not None:
        _write(fits, Path(out), quiet=as_json)


def _place(text: str) -> tuple[float, float]:
    values = numbers("--at", text)
    if len(values) != 2:
        raise FrontierError(f"--at {text!r}: give N and D, such as --at 1e9,2e10")
    return values[0], values[1]


def _text(family: str, found: HyperparameterFit, places: Sequence[tuple[float, float]]) -> str:
    lines = [f"{family}: {found.status.kind.value}"]
    if found.estimate is not None:
        lines += [f"best {WORDS[axis]} = {found.known.of(axis)}" for axis in found.known.axes()]
        rows = [(name, MEANINGS[name], str(answer)) for name, answer in found.exponents.items()]
        lines += [aligned(rows)] if rows else []
        lines += [_table(found, places)] if places else []
        lines.append("brackets: 95 % intervals")
    worst_first = sorted(found.status.findings, key=lambda finding: -finding.severity)
    lines += [f"{'note' if one.severity is Severity.NOTE else one.kind.value}: {one.sentence}" for one in worst_first]
    return "\n".join(lines)


def _table(found: HyperparameterFit, places: Sequence[tuple[float, float]]) -> str:
    rows = [("N", "D", "", "best", "within 0.5 % of the loss", "")]
    for params, data in places:
        best = _best(found, params, data)
        if isinstance(best, str):
            rows.append((f"{params:.4g}", f"{data:.4g}", "", best, "", ""))
            continue
        beyond = "" if best.extrapolation <= 1.0 else f"{best.extrapolation:.3g} × beyond the runs"
        for axis in found.known.axes():
            setting: Setting = getattr(best, axis)
            near = f"{setting.near[0]:.3g} to {setting.near[1]:.3g}"
            rows.append((f"{params:.4g}", f"{data:.4g}", WORDS[axis], str(setting.value), near, beyond))
    return aligned(rows)


def _best(found: HyperparameterFit, params: float, data: float) -> Recommendation | str:
    try:
        return found.best(params, data)
    except FrontierError as error:
        return str(error)


def _plain(found: HyperparameterFit, places: Sequence[tuple[float, float]]) -> dict[str, object]:
    """The values of one family, for JSON."""
    content: dict[str, object] = {
        "status": found.status.kind.value,
        "findings": [
            {"kind": one.kind.value, "severity": one.severity.name, "sentence": one.sentence}
            for one in found.status.findings
        ],
        "runs": found.samples.count,
        "excluded": [{"row": one.row, "kind": one.kind.value, "reason": one.reason} for one in found.excluded],
        "laws": hyperparameters_summary(found),
    }
    if found.estimate is not None:
        content["best"] = [_plain_best(found, params, data) for params, data in places]
    return content


def _plain_best(found: HyperparameterFit, params: float, data: float) -> dict[str, object]:
    best = _best(found, params, data)
    plain: dict[str, object] = {"params": params, "data": data}
    if isinstance(best, str):
        return {**plain, "refused": best}
    for axis in AXES:
        setting: Setting | None = getattr(best, axis)
        if setting is not None:
            ends = _ends(setting.value)
            plain[axis] = {"value": setting.value.value, "interval_95": ends, "near_optimal": list(setting.near)}
    return {**plain, "regret": best.regret, "extrapolation": best.extrapolation}


def _ends(answer: Answer) -> list[float] | None:
    return None if answer.interval is None else list(answer.interval)


def _write(fits: Mapping[str, HyperparameterFit], folder: Path, *, quiet: bool) -> None:
    from raysweep.report.figures.hyperparameters import hyperparameter_figure

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for family, found in fits.items():
        safe = "".join(sign if sign.isalnum() or sign in "-_." else "-" for sign in family)
        path = folder / f"hyperparameters-{safe}.json"
        path.write_text(frontier.hyperparameters_to_json(found))
        written.append(path)
        if found.estimate is not None:
            figure = folder / f"hyperparameters-{safe}.png"
            figure.write_bytes(hyperparameter_figure(found))
            written.append(figure)
    if not quiet:
        show("\n".join(f"written: {path}" for path in written))
