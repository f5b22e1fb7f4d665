"""The model card: what a trained model is, where it stands, how wrong it is and what it is not for, in Markdown."""

from collections.abc import Mapping
from pathlib import Path

from raysweep.core.text import amount, knobs, markdown, short
from raysweep.data.elements import SYMBOLS
from raysweep.trained.record import ModelRecord

UNKNOWN = "not recorded"


def model_card(record: ModelRecord, file: str = "model.rsm") -> str:
    """Write the card of a model in Markdown, from its description alone.

    Args:
        record: of the model; texts in it are shown as such, whatever Markdown or HTML they contain.
        file: the model file's name, for the lines that load it.
    """
    parts = {
        "": _what(record),
        "Data": _data(record),
        "Conditions of training": _conditions(record),
        "Errors": _errors(record),
        "On the frontier": _frontier(record),
        "Units": [f"{name}: {unit}" for name, unit in record.units.items()],
        "Limits": _limits(record),
        "Provenance": _provenance(record),
    }
    title = f"# {markdown(record.origin.family or record.architecture)}, a trained force field"
    text = [title]
    for name, lines in parts.items():
        text += ["", *([f"## {name}", ""] if name else []), *(f"* {line}" for line in lines)]
        if name == "Data":
            text += ["", *_references(record)]
    return "\n".join([*text, "", "## Use", "", *_use(Path(file).name), ""])


def _what(record: ModelRecord) -> list[str]:
    point = record.origin.point
    return [
        f"network: {markdown(record.architecture)}, {markdown(knobs(record.size))}",
        f"N = {_amount(point.get('params'))} trainable parameters, weights in {record.precision}",
        f"forces: {_FORCES[record.forces]}",
        f"elements: {', '.join(SYMBOLS[z] for z in record.elements)}; cutoff {record.cutoff:g} Å",
        *([f"added by {markdown(record.plug_in)}"] if record.plug_in else []),
    ]


_FORCES = {
    "conservative": "conservative, minus the gradient of the energy",
    "direct": "direct, from an output of their own and not the gradient of the energy",
}


def _data(record: ModelRecord) -> list[str]:
    data, spec = record.origin.data, record.origin.spec
    return [
        *(f"{key}: {_text(data.get(key))}" for key in ("source", "licence", "fingerprint")),
        f"in the store: {_amount(data.get('structures'))} structures, {_amount(data.get('atoms'))} atoms",
        f"trained on up to {_amount(spec.get('structures'))} structures, validated on "
        f"{_amount(spec.get('validation_structures'))} others",
        f"RMS force component {_number(data.get('rms_force'))} eV/Å, RMS energy beyond the reference energies "
        f"{_number(data.get('rms_energy'))} eV/atom (training part)",
    ]


def _references(record: ModelRecord) -> list[str]:
    rows = [f"| {SYMBOLS[z]} | {energy:.6f} |" for z, energy in sorted(record.energies.items())]
    return ["Reference energies, added for each atom:", "", "| element | eV |", "|---|---|", *rows]


_CONDITIONS = ("learning_rate", "batch_atoms", "precision", "seed", "optimizer", "symmetry")


def _conditions(record: ModelRecord) -> list[str]:
    spec, point = record.origin.spec, record.origin.point
    return [
        f"C = {_number(point.get('flops'))} FLOP of training, D = {_amount(point.get('data'))} atoms seen, of which "
        f"{_amount(point.get('unique_data'))} distinct; {_amount(point.get('step'))} steps",
        f"device: {_text(point.get('device'))}, {_number(point.get('seconds'))} s",
        *(f"{markdown(name)}: {_text(spec[name])}" for name in _CONDITIONS if name in spec),
    ]


_ERRORS = (
    ("loss", "validation loss (scaled energy error per atom plus scaled force error)", ""),
    ("trivial_loss", "loss of reference energies and zero forces, to be beaten", ""),
    ("energy_mae", "energy, mean absolute error", " eV/atom"),
    ("force_l2", "force, mean L2 norm of the error", " eV/Å"),
    ("equivariance_error", "relative change of the forces under a rotation", ""),
)


def _errors(record: ModelRecord) -> list[str]:
    point = record.origin.point
    found = [f"{what}: {_number(point[key])}{unit}" for key, what, unit in _ERRORS if point.get(key) is not None]
    one = "measured once, on the validation structures of the sweep's data; `raysweep evaluate` measures other files"
    loss, trivial = point.get("loss"), point.get("trivial_loss")
    useless = isinstance(loss, float) and isinstance(trivial, float) and loss >= trivial
    return [*(["**no better than reference energies and zero forces: of no use**"] if useless else []), *found, one]


def _frontier(record: ModelRecord) -> list[str]:
    standing = record.origin.frontier
    if "law" not in standing:
        return [f"no comparison: {_text(standing.get('missing'))}"]
    point, best = record.origin.point, standing.get("best")
    lines = [
        f"law of the family, of {_amount(standing.get('points'))} points (this one may be among them): "
        f"{_text(standing.get('law'))}",
        f"status of the fit: {_text(standing.get('status'))}",
        f"loss {_number(point.get('loss'))} at N = {_amount(point.get('params'))}, "
        f"D = {_amount(point.get('data'))}; the law expects {_interval(standing.get('predicted'))} of such a run",
    ]
    if isinstance(best, Mapping):
        n, d, loss = (_interval(best.get(key)) for key in ("params", "data", "loss"))
        lines.append(f"best size with this compute, {_number(point.get('flops'))} FLOP: N = {n}, D = {d}, loss {loss}")
    else:
        lines.append(f"best size with this compute: none known, {_text(standing.get('no_best'))}")
    lines.append(f"compute over the largest of the points: {_number(standing.get('extrapolation'))}")
    return [*lines, "brackets are 95 % intervals"]


def _limits(record: ModelRecord) -> list[str]:
    symbols = ", ".join(SYMBOLS[z] for z in record.elements)
    periodic = "stress was not compared with labels" if record.forces == "conservative" else "no stress"
    modes = {
        "conservative": "relaxation and dynamics were not part of the sweep: check the drift of the energy before use",
        "direct": "dynamics does not conserve energy, and a relaxation may not converge: forces are direct",
    }
    return [
        f"elements: {symbols} alone; others are refused",
        f"atoms farther apart than {record.cutoff:g} Å act on each other only through atoms between them: no "
        "long-range electrostatics or dispersion",
        "charge and spin: no input; structures are seen as elements and positions",
        modes[record.forces],
        *(
            ["averaged over frames: forces are not the exact gradient of the energy, no stress"]
            if record.frames
            else []
        ),
        *([] if record.frames else [periodic]),
        "not tested: structures unlike those of the data (other sizes, phases, temperatures, levels of theory), "
        "barriers, vibrations, long dynamics",
        "one seed: another run of the same conditions has another error",
    ]


def _provenance(record: ModelRecord) -> list[str]:
    origin, point = record.origin, record.origin.point
    return [
        f"sweep: {_text(origin.sweep)}, family {_text(origin.family)}",
        f"trial {_text(origin.trial_id)} at budget {_number(point.get('budget'))} ({_text(point.get('budget_kind'))})",
        "written by " + ", ".join(f"{markdown(name)} {markdown(text)}" for name, text in origin.versions.items()),
    ]


def _use(file: str) -> list[str]:
    return [
        "```python",
        "import raysweep",
        "",
        f"model = raysweep.load({file!r})",
        "atoms.calc = model.calculator()  # an ASE calculator",
        "```",
    ]


def _interval(found: object) -> str:
    match found:
        case [value, low, high]:
            ends = "" if low is None or high is None else f" [{_number(low)}, {_number(high)}]"
            return f"{_number(value)}{ends}"
    return UNKNOWN


def _number(value: object) -> str:
    return short(float(value), 4) if isinstance(value, int | float) and not isinstance(value, bool) else UNKNOWN


def _amount(value: object) -> str:
    return amount(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else UNKNOWN


def _text(value: object) -> str:
    """Show a value of the description as text."""
    if value is None:
        return UNKNOWN
    if isinstance(value, Mapping):
        return ", ".join(f"{markdown(str(name))} {_text(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(_text, value))
    return markdown(str(value))
