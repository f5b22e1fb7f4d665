"""`fit`: from a table of points to a `Fit` per architecture."""

from collections.abc import Sequence
from typing import Literal, TypeVar

import numpy as np
import pyarrow as pa
import scipy
from numpy.typing import NDArray

from raysweep.core.errors import FrontierError
from raysweep.core.version import __version__
from raysweep.frontier.approaches.approaches import envelope, parametric
from raysweep.frontier.approaches.minima import isoflops
from raysweep.frontier.approaches.outcome import Options, Outcome
from raysweep.frontier.approaches.parametric import Form
from raysweep.frontier.approaches.trajectories import tellable, trajectories, units
from raysweep.frontier.numerics.intervals import LEAST_DRAWS, resample
from raysweep.frontier.numerics.solver import Mask
from raysweep.frontier.points.cleaning import Cleaned, Samples, clean, exclude_mask
from raysweep.frontier.points.findings import Finding, Kind, Severity, caution, fatal, status_of
from raysweep.frontier.points.readers import as_table
from raysweep.frontier.result import Fit, parameters

Method = Literal["parametric", "isoflop", "envelope"]
Exclude = Sequence[int] | Sequence[bool] | NDArray[np.int64] | Mask | None
LEAST_POINTS = 6
_APPROACHES = {"parametric": parametric, "isoflop": isoflops, "envelope": envelope}
LAWS = ("additive", "tied", "data_constrained", "params", "data")
PURPOSES = {"exponents": 1.0, "prediction": 0.4}
"""Weight of points above the law relative to those below it."""
Result = TypeVar("Result")


def fit(
    points: object,
    method: Method = "parametric",
    loss_delta: Literal["adaptive"] | float = "adaptive",
    asymptote: Literal["free"] | float = "free",
    exclude: Exclude = None,
    cost: Literal["flops", "seconds"] = "flops",
    seed: int = 0,
    bootstraps: int = 1000,
    *,
    law: str = "additive",
    purpose: Literal["exponents", "prediction"] = "exponents",
    iterations: int = 200,
) -> Fit | dict[str, Fit]:
    """Fit the compute-optimal frontier to points.

    Args:
        points: a pyarrow table, a pandas frame or a mapping of columns: params, data, flops, loss; optional seconds,
            architecture (or family), seed, trajectory (or trial_id), weight.
        method: "parametric" (all points, the additive law), "isoflop" (valleys) or "envelope" (lowest losses).
        loss_delta: Huber's delta in ln loss, or "adaptive": 1.7 times the noise, and outliers beyond 3 noises weigh
            less, beyond 6 nothing.
        asymptote: "free", or the value at which E is held.
        exclude: rows to leave out: numbers, or a flag per row.
        cost: what counts as compute.
        seed: of starts and bootstraps; the same seed gives the same fit to the last bit.
        bootstraps: how many; 0 leaves out intervals.
        law: "additive", "tied" (alpha = beta), "data_constrained" (repeated data; needs a column unique_data), "params"
            or "data" (one term only).
        purpose: "prediction" weighs points above the law (runs that went badly) by 0.4: larger runs are predicted
            better, but the exponents are shifted; "exponents" treats both sides alike.
        iterations: of the solver at most; a fit that needs more says so in its status.

    Returns:
        A `Fit`; where the points name architectures, one for each by name.

    Raises:
        FrontierError: the points or an argument cannot be read. What is wrong with readable points is in `status`.
    """
    table = as_table(points)
    options = make_options(
        method=method,
        loss_delta=loss_delta,
        asymptote=asymptote,
        cost=cost,
        seed=seed,
        bootstraps=bootstraps,
        law=law,
        purpose=purpose,
        iterations=iterations,
    )
    masked = exclude_mask(exclude, table.num_rows)
    fits = {name: fit_group(table, rows, options, masked, name) for name, rows in groups(table).items()}
    return unwrap(table, fits)


def unwrap(table: pa.Table, by_name: dict[str | None, Result]) -> Result | dict[str, Result]:
    """Return the results by architecture, or the one result where the points name none."""
    if "architecture" not in table.column_names:
        return by_name[None]
    return {str(name): found for name, found in by_name.items()}


def groups(table: pa.Table) -> dict[str | None, NDArray[np.int64]]:
    """Return the rows of each architecture, in the order in which they first appear; one group where none is named."""
    if "architecture" not in table.column_names:
        return {None: np.arange(table.num_rows)}
    names = ["" if name is None else str(name) for name in table["architecture"].to_pylist()]
    return {name: np.flatnonzero(np.array([other == name for other in names])) for name in dict.fromkeys(names)}


def fit_group(
    table: pa.Table, rows: NDArray[np.int64], options: Options, excluded: Mask, architecture: str | None
) -> Fit:
    """Fit one architecture's points (`table` as `as_table` returns it)."""
    cleaned = clean(table, rows, options.cost, excluded)
    return fit_cleaned(cleaned, options, architecture)


def fit_cleaned(cleaned: Cleaned, options: Options, architecture: str | None = None) -> Fit:
    """Fit points that were cleaned before."""
    samples = cleaned.samples
    findings = [*cleaned.findings, *_refusals(samples, options)]
    outcome = Outcome()
    if not any(finding.severity is Severity.FATAL for finding in findings):
        unit = units(samples, options.form)
        weights = resample(unit, options.bootstraps, options.seed) if options.bootstraps else None
        outcome = _APPROACHES[options.method](samples, options, weights)
        findings += [*outcome.findings, *_draw_findings(samples, outcome, options)]
    return Fit(
        status=status_of(findings),
        method=options.method,
        form=options.form,
        architecture=architecture,
        cost_name=options.cost,
        samples=samples,
        excluded=cleaned.excluded,
        seed=options.seed,
        bootstraps=options.bootstraps,
        versions={"raysweep": __version__, "numpy": np.__version__, "scipy": scipy.__version__},
        estimate=outcome.estimate,
        draws=outcome.draws,
        leave_one_out=outcome.leave_one_out,
        draw_ids=outcome.draw_ids,
        objective=outcome.objective,
        gradient_norm=outcome.gradient_norm,
        delta=outcome.delta,
        noise=outcome.noise,
        starts=outcome.starts,
        starts_agreeing=outcome.agreeing,
        residuals=outcome.residuals,
        trust=outcome.trust,
    )


def make_options(
    *,
    method: str = "parametric",
    loss_delta: str | float = "adaptive",
    asymptote: str | float = "free",
    cost: str = "flops",
    seed: int = 0,
    bootstraps: int = 1000,
    law: str = "additive",
    purpose: str = "exponents",
    iterations: int = 200,
) -> Options:
    """Return the arguments of `fit` (the same names and defaults) as checked options.

    Raises:
        FrontierError: one of them cannot be meant.
    """
    for name, value, known in (("method", method, _APPROACHES), ("law", law, LAWS), ("purpose", purpose, PURPOSES)):
        if value not in known:
            raise FrontierError(f"{name} = {value!r}: give {', '.join(known)}")
    for name, whole, most in (
        ("bootstraps", bootstraps, 10**6),
        ("iterations", iterations, 10**6),
        ("seed", seed, 2**64),
    ):
        if isinstance(whole, bool) or not isinstance(whole, int | np.integer) or not 0 <= whole < most:
            raise FrontierError(f"{name} = {whole}: give 0 or more, a whole number below {most:g}")
    delta = None if loss_delta == "adaptive" else _number("loss_delta", loss_delta, "adaptive")
    if delta is not None and not 0 < delta < np.inf:
        raise FrontierError(f"loss_delta = {delta}: give a positive number, or 'adaptive'")
    held = None if asymptote == "free" else _number("asymptote", asymptote, "free")
    if held is not None and not 0 <= held < np.inf:
        raise FrontierError(f"asymptote = {held}: a loss is a number, and not negative; give 0 or more, or 'free'")
    return Options(
        method=method,
        form=Form(law=law, asymptote=held, over=PURPOSES[purpose]),
        loss_delta=delta,
        cost=cost,
        seed=seed,
        bootstraps=bootstraps,
        iterations=iterations,
    )


def _number(name: str, value: str | float, word: str) -> float:
    try:
        return float(value)
    except (ValueError, TypeError) as error:
        raise FrontierError(f"{name} = {value!r}: give a number, or {word!r}") from error


def _refusals(samples: Samples, options: Options) -> list[Finding]:
    """Return why these points cannot be fitted at all."""
    if samples.count < max(LEAST_POINTS, parameters(options.form) + 1):
        text = f"{samples.count} points are left; the law has {parameters(options.form)} parameters and needs 6 or more"
        return [fatal(Kind.TOO_FEW_POINTS, text)]
    if np.ptp(np.log(samples.loss)) < 1e-12:
        return [fatal(Kind.LOSSES_EQUAL, f"all {samples.count} losses equal {samples.loss[0]:.6g}: nothing to fit")]
    if options.form.asymptote is not None and samples.loss.min() <= options.form.asymptote:
        text = f"the asymptote {options.form.asymptote:g} lies above the lowest loss {samples.loss.min():g}: lower it"
        return [fatal(Kind.NOT_POSITIVE, text)]
    if options.form.law == "data_constrained" and samples.unique_data is None:
        text = "law='data_constrained' needs a column unique_data: the distinct part of data"
        return [fatal(Kind.NO_REPEATS, text)]
    if options.form.law == "data_constrained" and not np.any(samples.data > 1.5 * np.asarray(samples.unique_data)):
        return [fatal(Kind.NO_REPEATS, "no run repeats its data, so what repeats are worth is unseen; law='additive'")]
    sizes, amounts = (np.unique(np.round(np.log(v), 9)).size for v in (samples.params, samples.data))
    needs_params, needs_data = options.form.law != "data", options.form.law != "params"
    if sizes == 2 and needs_params and options.form.asymptote is None and options.method == "parametric":
        text = "two model sizes cannot tell E, A and alpha apart: add a size, or hold E with asymptote="
        return [fatal(Kind.TWO_SIZES_ONLY, text)]
    if sizes < 2 and needs_params:
        return [fatal(Kind.ONE_SIZE_ONLY, "all points have one N: what N does to the loss cannot be seen; law='data'")]
    if amounts < 2 and needs_data:
        return [
            fatal(Kind.ONE_DATA_ONLY, "all points have one D: what D does to the loss cannot be seen; law='params'")
        ]
    if needs_params and needs_data and options.method == "parametric" and _in_lockstep(samples):
        text = "N and D rise in lockstep over the points: their effects cannot be told apart; vary D at fixed N"
        return [fatal(Kind.DEPENDENT_DESIGN, text)]
    return []


def _in_lockstep(samples: Samples) -> bool:
    x, y = np.log(samples.params), np.log(samples.data)
    return bool(abs(np.corrcoef(x, y)[0, 1]) > 1 - 1e-9)


def _draw_findings(samples: Samples, outcome: Outcome, options: Options) -> list[Finding]:
    if not options.bootstraps or outcome.estimate is None:
        return []
    found = []
    if not tellable(samples, options.form):
        text = (
            f"without one of the {int(trajectories(samples).max()) + 1} trajectories the law is open, so intervals "
            "take the points on a trajectory as independent: too narrow where seeds differ; add sizes or seeds"
        )
        found.append(caution(Kind.TOO_FEW_TRAJECTORIES, text))
    good = 0 if outcome.draws is None else int(np.size(outcome.draws.E))
    if good < max(LEAST_DRAWS, 0.5 * options.bootstraps):
        text = f"only {good} of {options.bootstraps} bootstraps gave a fit: intervals are missing or rough"
        found.append(caution(Kind.TOO_FEW_BOOTSTRAPS, text))
    return found
