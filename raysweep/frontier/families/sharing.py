"""Families fitted together with parameters in common: which may be, and whose noise is in the joint fit."""

from collections.abc import Mapping, Sequence

import numpy as np

from raysweep.core.errors import FrontierError
from raysweep.frontier.approaches.options import Options
from raysweep.frontier.families.members import PLACES
from raysweep.frontier.families.team import Share, Team
from raysweep.frontier.families.team_of_runs import TeamOfRuns
from raysweep.frontier.fitting.run_noise.mixed import MixedFit
from raysweep.frontier.fitting.surfaces import fit_surface
from raysweep.frontier.laws.forms import LAWS
from raysweep.frontier.result import Fit


def check_share(share: Share | Sequence[Share], options: Options) -> tuple[Share, ...]:
    """Check which parameters are to be shared.

    Raises:
        FrontierError: there is no such parameter, the law does not fit it, or the approach fits no such law.
    """
    names: tuple[Share, ...] = (share,) if isinstance(share, str) else tuple(share)
    unknown = [name for name in names if not isinstance(name, str) or name not in PLACES]
    if unknown or not names or len(set(names)) < len(names):
        raise FrontierError(f"share = {share!r}: give E, alpha, beta or several of them, such as ('alpha', 'beta')")
    form = options.form
    if options.method != "parametric" or form.law in ("params", "data", "data_constrained"):
        of = f"method={options.method!r}, law={form.law!r}"
        raise FrontierError(f"share = {share!r} is for method='parametric' and laws of N and D, not {of}")
    if "E" in names and form.asymptote is not None:
        raise FrontierError(f"share = {share!r}: E is held at {form.asymptote:g} already; leave out asymptote=")
    directions = LAWS[form.law].directions
    columns = [int(np.flatnonzero(directions[PLACES[name]])[0]) for name in names]
    if len(set(columns)) < len(columns):
        raise FrontierError(f"share = {share!r}: law={form.law!r} ties two of these; give one of them")
    return names


def fit_shared(
    blanks: Mapping[str, Fit], options: Options, names: tuple[Share, ...], mixed: Mapping[str, MixedFit]
) -> dict[str, Fit]:
    """Fit families with parameters in common.

    Each is fitted by itself first: that gives its noise, Huber's delta and the weight of its outliers, which the joint
    fits keep. Where the noise of runs is known of each, it is in the joint fit; otherwise whole trajectories are drawn.

    Args:
        blanks: by family, with points but without a fit; those that are refused stay as they are.
        options: of the fits.
        names: of the shared parameters.
        mixed: by family, fits with the noise of runs.

    Raises:
        FrontierError: fewer than two families can be fitted.
    """
    usable = {family: blank for family, blank in blanks.items() if blank.status.usable}
    if len(usable) < 2:
        told = "; ".join(f"{family}: {blank.status}" for family, blank in blanks.items() if not blank.status.usable)
        raise FrontierError(f"share = {names}: {len(usable)} can be fitted of two or more. {told}".strip())
    if all(family in mixed and mixed[family].doubt is None for family in usable):
        of_runs = [mixed[family] for family in usable]
        own = [one.fit for one in of_runs]
        found = TeamOfRuns(list(usable.values()), own, options, names, of_runs).fits()
        return {**blanks, **dict(zip(usable, found, strict=True))}
    arguments = (options.loss_delta, options.seed, options.starts, options.iterations)
    free = {family: fit_surface(blank.samples, options.form, *arguments) for family, blank in usable.items()}
    team = Team(list(usable.values()), list(free.values()), options, names)
    return {**blanks, **dict(zip(usable, team.fits(), strict=True))}
