"""`fit` and `fit_families`: from a table of points to the `Fit` of one family, or of each."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, TypeVar, Unpack

import numpy as np
import pyarrow as pa
import scipy

from raysweep.core.errors import FrontierError
from raysweep.core.version import __version__
from raysweep.frontier.approaches.automatic import with_choice
from raysweep.frontier.approaches.certificate import with_findings
from raysweep.frontier.approaches.envelope import envelope
from raysweep.frontier.approaches.identification import open_findings
from raysweep.frontier.approaches.isoflop import isoflop
from raysweep.frontier.approaches.minima import IsoflopValley, valleys_of
from raysweep.frontier.approaches.options import Cost, FitWindow, Method, Options, Purpose, Settings, make_options
from raysweep.frontier.approaches.outliers import far_findings
from raysweep.frontier.approaches.parametric import parametric
from raysweep.frontier.approaches.refusals import refusals
from raysweep.frontier.approaches.reservations import reservations
from raysweep.frontier.approaches.runs import fit_together
from raysweep.frontier.approaches.window import in_window, with_joint_transition
from raysweep.frontier.families.fits import FamilyFits
from raysweep.frontier.families.sharing import check_share, fit_shared
from raysweep.frontier.families.team import Share
from raysweep.frontier.fitting.misfit.local_exponents import LocalExponents, exponents_along_runs
from raysweep.frontier.fitting.run_noise.mixed import MixedFit
from raysweep.frontier.fitting.screening import far_above, far_below, screen
from raysweep.frontier.fitting.trajectories import determined_without_any, resampling_units, trajectories
from raysweep.frontier.laws.forms import LawName
from raysweep.frontier.numerics.arrays import Floats, Indices
from raysweep.frontier.numerics.intervals import LEAST_DRAWS, resample
from raysweep.frontier.points.cleaning import Cleaned, Exclude, clean
from raysweep.frontier.points.families import Family, families_of, named_families, only_family
from raysweep.frontier.points.findings import Finding, Kind, caution, status_of
from raysweep.frontier.points.readers import as_table
from raysweep.frontier.result import Fit

_Name = TypeVar("_Name", str, Family)
APPROACHES = {"isoflop": isoflop, "envelope": envelope}


def fit(
    points: object,
    method: Method = "parametric",
    loss_delta: Literal["adaptive"] | float = "adaptive",
    asymptote: Literal["free"] | float = "free",
    exclude: Exclude = None,
    cost: Cost = "flops",
    seed: int = 0,
    bootstraps: int = 1000,
    *,
    law: LawName | Literal["auto"] = "auto",
    purpose: Purpose = "exponents",
    iterations: int = 200,
    window: FitWindow = "auto",
) -> Fit:
    """Fit the compute-optimal frontier to the points of one family.

    Args:
        points: a pyarrow table, a pandas frame or a mapping of columns: params, data, flops, loss; optional seconds,
            architecture (or family), seed, trajectory (or trial_id), weight, unique_data, trivial_loss, device.
        method: "parametric" (all points, the additive law), "isoflop" (valleys) or "envelope" (lowest losses).
        loss_delta: Huber's delta in ln loss, or "adaptive": 1.7 times the noise, and outliers beyond 3 noises weigh
            less, beyond 6 nothing.
        asymptote: "free", or the value at which E is held.
        exclude: rows to leave out: numbers, or a flag per row.
        cost: what counts as compute.
        seed: of starts and bootstraps; the same seed gives the same fit to the last bit.
        bootstraps: number of resamples; 0 leaves out intervals.
        law: "auto" takes the additive law and, where the points contradict it, the coupled one with larger runs
            weighing more, or one that predicts the largest runs from the smaller ones better (`choice` in the fit has
            all that were tried). Or "additive", "coupled" (terms that hide each other), "broken_params", "broken_data"
            (an exponent that changes once), "offset" (of the data), "tied" (alpha = beta), "data_constrained" (repeated
            data; needs a column unique_data), "params" or "data" (one term only).
        purpose: "prediction" weighs points above the law (runs that went badly) by 0.4: larger runs are predicted
            better, but the exponents are shifted; "exponents" treats both sides alike.
        iterations: limit of the solver; a fit that needs more says so in its status.
        window: of D. "auto": where runs (points that share a trajectory) bend away from the law and their later part
            does not, the points before the transition ends are left out, listed in `excluded`; "all": every point;
            (low, high): the points between.

    Raises:
        FrontierError: the points or an argument cannot be read, or the points are of several families (then use
            `fit_families`). What is wrong with readable points is in the fit's `status`.

    >>> params, data = [1e6, 1e6, 1e6, 1e7, 1e7, 1e7, 1e8, 1e8, 1e8], [1e8, 1e9, 1e10] * 3
    >>> loss = [0.5 + 90 * n**-0.4 + 400 * d**-0.4 for n, d in zip(params, data)]
    >>> flops = [6 * n * d for n, d in zip(params, data)]
    >>> found = fit({"params": params, "data": data, "flops": flops, "loss": loss}, bootstraps=0)
    >>> print(found.law)
    L = 0.5 + 90 N^-0.4000 + 400 D^-0.4000
    >>> f"{found.optimal(flops=6e18).params.value:.3g}"
    '1.55e+08'
    """
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
        window=window,
    )
    table = as_table(points)
    family, rows = only_family(table, "fit")
    return fit_group(table, rows, options, family, exclude)


def fit_families(
    points: object, *, exclude: Exclude = None, share: Share | Sequence[Share] = (), **settings: Unpack[Settings]
) -> FamilyFits:
    """Fit the compute-optimal frontier to each family of the points.

    Args:
        points: as in `fit`, with a column architecture (or family).
        exclude: rows of the whole table to leave out.
        share: parameters that all families have in common, of E, alpha and beta: they are fitted together, and whether
            the points contradict it is a finding (`shared_parameters`, with its p-value; `Fit.shared`). The law is then
            the additive one unless `law` names another. The noise of runs is in the fit where it is to be believed of
            each family; otherwise intervals resample whole trajectories.
        **settings: as in `fit`.

    Returns:
        The fits by family, in the order in which the families first appear: a mapping that also has `contrasts()` and
        `crossovers()`.

    Raises:
        FrontierError: as `fit`, or the points name no family (then use `fit`).
    """
    options, table = make_options(**settings), as_table(points)
    families = named_families(table, "fit")
    if share:
        return FamilyFits(_fit_shared(table, families, options, exclude, check_share(share, options)))
    return FamilyFits(fit_groups(table, families, options, exclude))


def local_exponents(points: object, *, exclude: Exclude = None, law: LawName = "additive") -> LocalExponents:
    """Measure how fast the loss falls between consecutive budgets of each run: -d ln L / d ln D.

    Args:
        points: of one family, as in `fit`, with a column trajectory (or trial_id).
        exclude: rows to leave out.
        law: whose own local exponents stand beside the measured ones.

    Raises:
        FrontierError: the points cannot be read, are of several families, or do not determine the law.
    """
    options, table = make_options(law=law), as_table(points)
    _, rows = only_family(table, "local_exponents")
    samples = clean(table, rows, options.cost, exclude).samples
    for reason in refusals(samples, options):
        raise FrontierError(f"local_exponents: {reason.sentence}")
    return exponents_along_runs(samples, options.form)


def isoflop_valleys(
    points: object, *, exclude: Exclude = None, seed: int = 0, bootstraps: int = 200
) -> tuple[IsoflopValley, ...]:
    """Fit the loss of each compute budget as a function of N: the valleys behind `fit(..., method="isoflop")`.

    Args:
        points: of one family, as in `fit`.
        exclude: rows to leave out.
        seed: of the resamples.
        bootstraps: number of resamples, for the intervals of the minima; 0 leaves them out.

    Raises:
        FrontierError: the points cannot be read, are of several families, or no budget has enough sizes.
    """
    options, table = make_options(method="isoflop", seed=seed, bootstraps=bootstraps), as_table(points)
    _, rows = only_family(table, "isoflop_valleys")
    return valleys_of(clean(table, rows, options.cost, exclude).samples, options)


def fit_each(points: object, **settings: Unpack[Settings]) -> dict[Family, Fit]:
    """Fit each family, or all points under None where they name none."""
    options, table = make_options(**settings), as_table(points)
    return fit_groups(table, families_of(table), options)


def fit_groups(
    table: pa.Table, families: Mapping[_Name, Indices], options: Options, exclude: Exclude = None
) -> dict[_Name, Fit]:
    """Fit each family; run-to-run noise and transitions are estimated from all of them together."""
    cleaned = {family: clean(table, rows, options.cost, exclude) for family, rows in families.items()}
    inside = {family: in_window(one, options) for family, one in cleaned.items()}
    judged = with_joint_transition(inside, options)
    blanks = {family: _blank(one, options, family) for family, one in judged.items()}
    usable = {family: blank.samples for family, blank in blanks.items() if blank.status.usable}
    mixed = fit_together(usable, options)
    return {family: _fit_blank(blank, options, mixed.get(family)) for family, blank in blanks.items()}


def _fit_shared(
    table: pa.Table, families: Mapping[str, Indices], options: Options, exclude: Exclude, names: tuple[Share, ...]
) -> dict[str, Fit]:
    """Fit families with parameters in common."""
    options = replace(options, automatic=False)
    cleaned = {family: clean(table, rows, options.cost, exclude) for family, rows in families.items()}
    blanks = {family: _blank(in_window(one, options), options, family) for family, one in cleaned.items()}
    mixed = fit_together({family: one.samples for family, one in blanks.items() if one.status.usable}, options)
    fits = fit_shared(blanks, options, names, mixed)
    return {family: with_findings(one, _draw_findings(one)) for family, one in fits.items()}


def fit_group(table: pa.Table, rows: Indices, options: Options, family: Family = None, exclude: Exclude = None) -> Fit:
    """Fit some rows of a table that `as_table` made; `exclude` counts the rows of the whole table."""
    return fit_cleaned(clean(table, rows, options.cost, exclude), options, family)


def fit_cleaned(cleaned: Cleaned, options: Options, family: Family = None) -> Fit:
    """Fit points that were cleaned before."""
    return _fit_blank(_blank(in_window(cleaned, options), options, family), options)


def _blank(cleaned: Cleaned, options: Options, family: Family) -> Fit:
    samples = cleaned.samples
    return Fit(
        status=status_of([*cleaned.findings, *refusals(samples, options), *reservations(samples, options)]),
        method=options.method,
        form=options.form,
        architecture=family,
        cost_name=options.cost,
        seed=options.seed,
        bootstraps=options.bootstraps,
        versions={"raysweep": __version__, "numpy": np.__version__, "scipy": scipy.__version__},
        excluded=cleaned.excluded,
        samples=samples,
        inference=cleaned.inference,
    )


def _fit_blank(blank: Fit, options: Options, mixed: MixedFit | None = None) -> Fit:
    samples = blank.samples
    if not blank.status.usable:
        return blank
    weights = None
    if options.bootstraps:
        weights = resample(resampling_units(samples, options.form), options.bootstraps, options.seed)
    if options.method == "parametric":
        fitted = parametric(blank, options, weights, mixed)
        if blank.status.found(Kind.TRANSITION) and fitted.status.found(Kind.MANY_FAR_AWAY):
            # So few points after the transition that the noise of runs takes some for failed ones.
            fitted = parametric(blank, replace(options, run_noise=False), weights)
        fitted = with_choice(fitted, blank, options, weights)
    else:
        fitted = _fit_screened(blank, options, weights)
    return with_findings(fitted, [*_draw_findings(fitted), *open_findings(fitted)])


def _fit_screened(blank: Fit, options: Options, weights: Floats | None) -> Fit:
    """Fit by an approach without its own treatment of outliers: points far from the additive law get no weight."""
    samples, judged = blank.samples, screen(blank.samples, options.form, options.seed)
    far = None if judged is None else far_below(judged) | far_above(judged)
    if judged is None or far is None or not far.any():
        return APPROACHES[options.method](blank, options, weights)
    trust = np.where(far, 0.0, 1.0)
    trusted = replace(blank, samples=replace(samples, weight=samples.weight * trust))
    fitted = APPROACHES[options.method](trusted, options, weights)
    return with_findings(replace(fitted, samples=samples, trust=trust), far_findings(samples, judged))


def _draw_findings(fitted: Fit) -> list[Finding]:
    """Find problems of the bootstraps."""
    if not fitted.bootstraps or fitted.estimate is None:
        return []
    found = []
    if fitted.run_noise is None and not determined_without_any(fitted.samples, fitted.form):
        count = int(trajectories(fitted.samples).max()) + 1
        text = (
            f"without one of the {count} trajectories the law is open, so intervals "
            "take the points on a trajectory as independent: too narrow where seeds differ; add sizes or seeds"
        )
        found.append(caution(Kind.TOO_FEW_TRAJECTORIES, text))
    good = 0 if fitted.draws is None else int(np.size(fitted.draws.E))
    if good < max(LEAST_DRAWS, 0.5 * fitted.bootstraps):
        text = f"only {good} of {fitted.bootstraps} bootstraps gave a fit: intervals are missing or rough"
        found.append(caution(Kind.TOO_FEW_BOOTSTRAPS, text))
    return found
