"""The regressors of the laws: which exponents the cells determine, and the way back to the user's units."""

from dataclasses import dataclass

import numpy as np

from raysweep.frontier.hyperparameters.laws import AXES, BestLaw, HyperparameterLaw
from raysweep.frontier.hyperparameters.runs import HyperparameterRuns, common, distinct
from raysweep.frontier.hyperparameters.surface import Valley
from raysweep.frontier.numerics.arrays import Floats

LOCKSTEP = 1e-6
"""1 - r² of two regressors below which their exponents cannot be told apart."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """What is fitted.

    Attributes:
        axes: the hyperparameters with a law.
        columns: for each of them the quantities that its law is a power of: "params", "data", "given".
        open: for each of them the quantities ("params", "data") whose exponents the cells do not determine: held at one
            value, or both where N and D rise in lockstep; the exponent of D is then that along the cells.
        scale: the quantities that the valley's steepness changes with.
        cubic: whether the valley has cubic terms.
    """

    axes: tuple[str, ...]
    columns: tuple[tuple[str, ...], ...]
    open: tuple[tuple[str, ...], ...]
    scale: tuple[str, ...]
    cubic: bool = True

    @property
    def coefficients(self) -> int:
        """Of the law with the most of them."""
        return 1 + max(len(names) for names in self.columns)


def design_of(runs: HyperparameterRuns, axes: tuple[str, ...], given: str | None, *, batch_with_params: bool) -> Design:
    """Find the exponents that the cells of the runs determine.

    Args:
        runs: of the cells in use, numbered from 0.
        axes: the hyperparameters with a law.
        given: the one that was varied but too little to have a law, or None.
        batch_with_params: whether the best batch size may depend on N.
    """
    known = {"params": common(runs.params, runs.cell), "data": common(runs.data, runs.cell)}
    varied = tuple(name for name, values in known.items() if distinct(values) > 1)
    extra = ("given",) if given is not None and distinct(runs.axis(given)) > 1 else ()
    columns, open_ = [], []
    for axis in axes:
        wanted = ("params", "data") if axis == "learning_rate" or batch_with_params else ("data",)
        names = tuple(name for name in wanted if name in varied)
        missing = tuple(name for name in wanted if name not in varied)
        if len(names) == 2 and _in_lockstep(*known.values()):
            names, missing = ("data",), ("params", "data")
        columns.append((*names, *extra))
        open_.append(missing)
    cells = int(runs.cell.max()) + 1
    scale = () if cells <= 4 or (len(varied) == 2 and _in_lockstep(*known.values())) else varied
    return Design(axes=axes, columns=tuple(columns), open=tuple(open_), scale=scale)


def _in_lockstep(params: Floats, data: Floats) -> bool:
    correlation = float(np.corrcoef(np.log(params), np.log(data))[0, 1])
    return 1.0 - correlation**2 < LOCKSTEP


def regressors(runs: HyperparameterRuns, given: str | None) -> dict[str, Floats]:
    """Ln N, ln D and ln of what is given in each cell."""
    found = {"params": common(runs.params, runs.cell), "data": common(runs.data, runs.cell)}
    if given is not None:
        found["given"] = common(runs.axis(given), runs.cell)
    return {name: np.log(values) for name, values in found.items()}


def valley_of(runs: HyperparameterRuns, design: Design, centre: dict[str, Floats], given: str | None) -> Valley:
    """Build the least-squares problem; `runs` are sorted by cell.

    Args:
        runs: of the cells in use, numbered from 0.
        design: what is fitted.
        centre: of each regressor and hyperparameter, in ln.
        given: the hyperparameter that cells are told apart by, or None.
    """
    known = {name: values - centre[name] for name, values in regressors(runs, given).items()}
    count = int(runs.cell.max()) + 1
    designs = tuple(np.stack([np.ones(count), *(known[name] for name in names)], axis=1) for names in design.columns)
    scale = np.stack([known[name] for name in design.scale], axis=1) if design.scale else np.zeros((count, 0))
    logs = np.stack([np.log(runs.axis(axis)) - centre[axis] for axis in design.axes], axis=1)
    return Valley(logs=logs, loss=np.log(runs.loss), cell=runs.cell, designs=designs, scale=scale, cubic=design.cubic)


def centre_of(runs: HyperparameterRuns, design: Design, given: str | None) -> dict[str, Floats]:
    """The mean of each regressor over cells, and of each hyperparameter over runs, in ln."""
    found = {name: np.asarray(values.mean()) for name, values in regressors(runs, given).items()}
    return found | {axis: np.asarray(np.log(runs.axis(axis)).mean()) for axis in design.axes}


def law_of(theta: Floats, valley: Valley, design: Design, centre: dict[str, Floats]) -> HyperparameterLaw:
    """Convert theta, shape (parameters,) or (b, parameters), to laws in the user's units."""
    laws: dict[str, BestLaw | None] = dict.fromkeys(AXES)
    for axis, names, missing, place in zip(design.axes, design.columns, design.open, valley.places, strict=False):
        part = theta[..., place]
        log_factor = part[..., 0] + centre[axis]
        powers = {name: np.zeros(part.shape[:-1]) for name in ("params", "data", "given")}
        powers |= {name: np.full(part.shape[:-1], np.nan) for name in missing}
        for number, name in enumerate(names, start=1):
            log_factor = log_factor - part[..., number] * centre[name]
            powers[name] = part[..., number]
        laws[axis] = BestLaw(log_factor=log_factor, **powers)
    steepness = np.zeros((*theta.shape[:-1], 2))
    for number, name in enumerate(design.scale):
        steepness[..., ("params", "data").index(name)] = theta[..., valley.places[-1]][..., number]
    return HyperparameterLaw(
        **laws,
        shape=theta[..., valley.places[-2]],
        steepness=steepness,
        centre=np.array([float(centre["params"]), float(centre["data"])]),
    )
