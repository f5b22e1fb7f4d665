"""Tests of whether families contradict a shared parameter: an F-test for points, a Wald test for trajectories."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from scipy.special import fdtrc

from raysweep.frontier.answers.shared import SharedParameters
from raysweep.frontier.families.members import AnyMember, NoisyMember
from raysweep.frontier.families.profile import Joint, fit_jointly
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.points.findings import Finding, Kind, caution, note

Tested: TypeAlias = tuple[float | None, tuple[int, int], float | None]
"""A statistic, its degrees of freedom and its p-value; None where the points are too few for it."""
IDENTIFIED = 3.84
"""Quantile of chi-squared with one degree of freedom at 95 %: of F of E = 0, above which E is identified."""
DOUBTFUL = 0.05
"""P-value below which the points contradict what is shared."""


def f_test(parts: Sequence[AnyMember], joint: Joint) -> Tested:
    """F of the shared parameters against free ones, its degrees of freedom, and its p-value.

    Each family's rise of the objective is in units of its own variance, so that noise may differ among them. Where the
    noise of runs is in the fit, the degrees of freedom are those of the family whose noise is known least.
    """
    restrictions = joint.shared.shape[1] * (len(parts) - 1)
    statistic = max(float(np.sum(_rises(parts, joint.objectives[:, 0]))), 0.0) / restrictions
    freedom = [part.freedom for part in parts]
    left = min(freedom) if any(isinstance(part, NoisyMember) for part in parts) else sum(freedom)
    return statistic, (restrictions, left), float(fdtrc(restrictions, left, statistic))


def wald_test(own: Floats, without: Sequence[Floats], freedom: int) -> Tested:
    """Wald's test that families have equal parameters, with covariances from the cluster jackknife; as `f_test`.

    Args:
        own: each family's parameters, shape (families, m).
        without: each family's without each of its trajectories, (units, m).
        freedom: trajectories less one, of the family that has fewest.
    """
    families, parameters = own.shape
    restrictions = parameters * (families - 1)
    covariance = np.zeros((families * parameters, families * parameters))
    for place, values in enumerate(without):
        away = values - values.mean(axis=0)
        block = slice(place * parameters, (place + 1) * parameters)
        covariance[block, block] = away.T @ away * (values.shape[0] - 1) / values.shape[0]
    against = np.kron(np.hstack([-np.ones((families - 1, 1)), np.eye(families - 1)]), np.eye(parameters))
    difference, spread = against @ own.ravel(), against @ covariance @ against.T
    if not np.all(np.isfinite(spread)) or np.linalg.matrix_rank(spread) < restrictions:
        return None, (restrictions, freedom), None
    statistic = float(difference @ np.linalg.solve(spread, difference)) / restrictions
    return statistic, (restrictions, freedom), float(fdtrc(restrictions, freedom, statistic))


def without_asymptote(parts: Sequence[AnyMember], names: Sequence[str], joint: Joint) -> float:
    """F of E = 0 in all families against the E that they share."""
    at_zero = []
    for part in parts:
        prepared = part.fit.prepared
        free = prepared.problem.free[:, prepared.problem.free[0] == 0]
        held = replace(prepared, problem=replace(prepared.problem, free=free))
        at_zero.append(replace(part, fit=replace(part.fit, prepared=held)))
    thetas = [theta.copy() for theta in joint.theta]
    for theta in thetas:
        theta[:, 0] = 0.0
    rest = [place for place, name in enumerate(names) if name != "E"]
    if rest:
        found = fit_jointly(at_zero, [names[place] for place in rest], joint.shared[:, rest], thetas).objectives[:, 0]
    else:
        found = np.array(
            [
                part.solved(part.fit.prepared.problem, theta).objective[0]
                for part, theta in zip(at_zero, thetas, strict=True)
            ]
        )
    return float(np.sum(_rises(parts, found) - _rises(parts, joint.objectives[:, 0])))


def sharing_finding(shared: SharedParameters) -> Finding:
    """Report the shared parameters, and whether the points contradict them."""
    told = ", ".join(f"{name} = {value:.4g}" for name, value in zip(shared.names, shared.values, strict=True))
    text = f"{told} shared by {', '.join(shared.families)}"
    first, second = shared.degrees_of_freedom
    if shared.p_value is None:
        return caution(Kind.SHARED_PARAMETERS, f"{text}: too few trajectories to test it against free ones")
    test = (
        f"{shared.test} = {shared.statistic:.2f} on {first} and {second} degrees of freedom, p = {shared.p_value:.2g}"
    )
    if shared.p_value < DOUBTFUL:
        return caution(Kind.SHARED_PARAMETERS, f"{text}, which the points contradict ({test}): fit without share=")
    return note(Kind.SHARED_PARAMETERS, f"{text}, which the points do not contradict ({test})")


def _rises(parts: Sequence[AnyMember], objectives: Floats) -> Floats:
    """Rise of each family's objective over that of its free fit, in units of its variance."""
    return np.array([part.rise(float(one)) for part, one in zip(parts, objectives, strict=True)])
