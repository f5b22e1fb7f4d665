"""A fit as JSON and back: numbers in full precision (the shortest decimal that reads back to the same double)."""

import json
from collections.abc import Mapping
from dataclasses import fields

import numpy as np

from raysweep.core.errors import FrontierError
from raysweep.frontier.approaches.parametric import Form
from raysweep.frontier.laws.laws import CostModel, Curve, Number, Surface
from raysweep.frontier.laws.quantities import Law
from raysweep.frontier.points.cleaning import Exclusion, Samples
from raysweep.frontier.points.findings import Finding, Kind, Severity, Status
from raysweep.frontier.result import Fit

FORMAT = "raysweep.fit/2"
Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]


def to_json(fit: Fit) -> str:
    """Return the fit as JSON, its summary first and the draws last; non-finite numbers are null."""
    content: dict[str, Plain] = {
        "format": FORMAT,
        "points_sha256": fit.samples.digest(),
        "summary": summary(fit),
        "status": _status(fit.status),
        "method": fit.method,
        "form": {"law": fit.form.law, "asymptote": fit.form.asymptote, "over": fit.form.over},
        "architecture": fit.architecture,
        "cost_name": fit.cost_name,
        "seed": fit.seed,
        "bootstraps": fit.bootstraps,
        "versions": dict(fit.versions),
        "excluded": [{"row": item.row, "kind": item.kind.value, "reason": item.reason} for item in fit.excluded],
        **{name: _number(getattr(fit, name)) for name in _NUMBERS},
        "starts": fit.starts,
        "starts_agreeing": fit.starts_agreeing,
        "residuals": None if fit.residuals is None else _array(fit.residuals),
        "trust": None if fit.trust is None else _array(fit.trust),
        "draw_ids": None if fit.draw_ids is None else [int(number) for number in fit.draw_ids],
        "samples": _samples(fit.samples),
        **{name: _law(getattr(fit, name)) for name in _LAWS},
    }
    return json.dumps(content, allow_nan=False)


_NUMBERS = ("objective", "gradient_norm", "delta", "noise")
_LAWS = ("estimate", "draws", "leave_one_out")
_COLUMNS = ("params", "data", "cost", "loss", "weight")


def summary(fit: Fit) -> dict[str, Plain]:
    """Return what a person wants to read first; empty where there is no fit."""
    if fit.estimate is None:
        return {}
    law = fit.law
    found: dict[str, Plain] = {"law": {field.name: _number(getattr(law, field.name)) for field in fields(law)}}
    for name in ("params_exponent", "data_exponent", "loss_exponent"):
        answer = fit.answer(name)
        low_high: Plain = None
        if answer.interval is not None:
            low_high = [_number(answer.interval.low), _number(answer.interval.high)]
        found[name] = {"value": _number(answer.value), "interval_95": low_high}
    return found


def from_json(text: str) -> Fit:
    """Return the fit that `to_json` wrote.

    Raises:
        FrontierError: the text is torn, altered or of another format.
    """
    try:
        content = json.loads(text)
        if content["format"] != FORMAT:
            raise FrontierError(f"a fit of format {content['format']!r}; this version reads {FORMAT!r}")
        fit = _fit(content)
    except (ValueError, KeyError, TypeError) as error:
        raise FrontierError(f"not a fit written by to_json, or torn: {type(error).__name__}: {error}") from error
    if fit.samples.digest() != content["points_sha256"]:
        raise FrontierError("the fit's points do not match their digest: the text was altered")
    return fit


def _fit(content: dict[str, object]) -> Fit:
    read: dict[str, object] = content
    form = _mapping(read["form"])
    return Fit(
        status=_read_status(_mapping(read["status"])),
        method=str(read["method"]),
        form=Form(**form),  # type: ignore[arg-type]
        architecture=None if read["architecture"] is None else str(read["architecture"]),
        cost_name=str(read["cost_name"]),
        samples=_read_samples(_mapping(read["samples"])),
        excluded=tuple(
            Exclusion(row=int(str(row["row"])), kind=Kind(str(row["kind"])), reason=str(row["reason"]))
            for row in map(_mapping, _list(read["excluded"]))
        ),
        seed=int(str(read["seed"])),
        bootstraps=int(str(read["bootstraps"])),
        versions={str(key): str(value) for key, value in _mapping(read["versions"]).items()},
        starts=int(str(read["starts"])),
        starts_agreeing=int(str(read["starts_agreeing"])),
        residuals=None if read["residuals"] is None else _read_array(read["residuals"]),
        trust=None if read["trust"] is None else _read_array(read["trust"]),
        draw_ids=None if read["draw_ids"] is None else _read_array(read["draw_ids"]).astype(np.int64),
        estimate=_read_law(read["estimate"]),
        draws=_read_law(read["draws"]),
        leave_one_out=_read_law(read["leave_one_out"]),
        objective=_read_number(read["objective"]),
        gradient_norm=_read_number(read["gradient_norm"]),
        delta=_read_number(read["delta"]),
        noise=_read_number(read["noise"]),
    )


def _number(value: Number) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None


def _array(values: Number) -> list[Plain]:
    return [_number(value) for value in np.ravel(values)]


def _array_or_number(values: Number) -> Plain:
    return _number(values) if np.ndim(values) == 0 else _array(values)


def _law(law: Law | None) -> Plain:
    if law is None:
        return None
    content: dict[str, Plain] = {"kind": "surface" if isinstance(law, Surface) else "curve"}
    for field in fields(law):
        if field.name != "cost":
            content[field.name] = _array_or_number(getattr(law, field.name))
    if isinstance(law, Surface):
        cost: dict[str, Plain] = {
            name: _array_or_number(getattr(law.cost, name)) for name in ("log_kappa", "params_power", "data_power")
        }
        content["cost"] = {**cost, "residual": law.cost.residual, "exact": law.cost.exact}
    return content


def _samples(samples: Samples) -> Plain:
    content: dict[str, Plain] = {name: _array(getattr(samples, name)) for name in _COLUMNS}
    content["row"] = [int(row) for row in samples.row]
    content["cost_name"] = samples.cost_name
    content["device"] = samples.device
    content["trajectory"] = None
    if samples.trajectory is not None:
        content["trajectory"] = [None if name is None else str(name) for name in samples.trajectory]
    content["unique_data"] = None if samples.unique_data is None else _array(samples.unique_data)
    return content


def _status(status: Status) -> Plain:
    found: list[Plain] = [_finding(finding) for finding in status.findings]
    return {
        "kind": status.kind.value,
        "severity": status.severity.name,
        "sentence": status.sentence,
        "findings": found,
    }


def _finding(finding: Finding) -> dict[str, Plain]:
    return {"kind": finding.kind.value, "severity": finding.severity.name, "sentence": finding.sentence}


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError(f"a mapping is missing, found {type(value).__name__}")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(f"a list is missing, found {type(value).__name__}")
    return value


def _read_number(value: object) -> float:
    return float("nan") if value is None else float(str(value))


def _read_array(value: object) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.array([np.nan if item is None else item for item in _list(value)], dtype=float)


def _read_law(value: object) -> Law | None:
    if value is None:
        return None
    content = dict(_mapping(value))
    kind = content.pop("kind")
    cost = content.pop("cost", None)
    numbers = {name: _array_back(name, item) for name, item in content.items()}
    if kind == "curve":
        return Curve(**numbers)
    parts = dict(_mapping(cost))
    residual, exact = _read_number(parts.pop("residual")), bool(parts.pop("exact"))
    powers = {name: _array_back(name, item) for name, item in parts.items()}
    return Surface(**numbers, cost=CostModel(**powers, residual=residual, exact=exact))


def _array_back(name: str, value: object) -> Number:
    if isinstance(value, list):
        return _read_array(value)
    if value is None:  # the term of a one-term law that is absent: ln 0, or no exponent
        return {"log_A": -np.inf, "log_B": -np.inf, "log_repeats": np.inf}.get(name, np.nan)
    return _read_number(value)


def _read_samples(content: Mapping[str, object]) -> Samples:
    trajectory, unique = content["trajectory"], content["unique_data"]
    return Samples(
        **{name: _read_array(content[name]) for name in _COLUMNS},
        row=np.array([int(str(row)) for row in _list(content["row"])], dtype=np.int64),
        trajectory=None if trajectory is None else np.array(_list(trajectory), dtype=object),
        unique_data=None if unique is None else _read_array(unique),
        cost_name=str(content["cost_name"]),
        device=None if content.get("device") is None else str(content["device"]),
    )


def _read_status(content: Mapping[str, object]) -> Status:
    return Status(
        kind=Kind(str(content["kind"])),
        severity=Severity[str(content["severity"])],
        sentence=str(content["sentence"]),
        findings=tuple(
            Finding(
                kind=Kind(str(item["kind"])), severity=Severity[str(item["severity"])], sentence=str(item["sentence"])
            )
            for item in map(_mapping, _list(content["findings"]))
        ),
    )
