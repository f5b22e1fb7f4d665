"""Families that share parameters: the estimate, joint refits, and the test of what is shared."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from raysweep.frontier.answers.shared import SharedParameters
from raysweep.frontier.approaches.bends import with_lack_of_fit
from raysweep.frontier.approaches.certificate import with_findings, with_minimum
from raysweep.frontier.approaches.options import Options
from raysweep.frontier.approaches.parametric import asymptote_findings, law_findings
from raysweep.frontier.families.members import PLACES, AnyMember, Member
from raysweep.frontier.families.profile import Joint, fit_jointly
from raysweep.frontier.families.restriction import (
    IDENTIFIED,
    Tested,
    f_test,
    sharing_finding,
    wald_test,
    without_asymptote,
)
from raysweep.frontier.fitting.costs import fit_cost_draws, is_proportional
from raysweep.frontier.fitting.levels import determined
from raysweep.frontier.fitting.misfit.surfaces import surface_misfit
from raysweep.frontier.fitting.robust import robust_scale
from raysweep.frontier.fitting.surfaces import SurfaceFit, draw_surfaces, to_surface
from raysweep.frontier.fitting.trajectories import resampling_units, without_each
from raysweep.frontier.laws.laws import Surface
from raysweep.frontier.numerics.arrays import Floats, Indices
from raysweep.frontier.numerics.intervals import MANY_UNITS, resample
from raysweep.frontier.numerics.solver import predict
from raysweep.frontier.result import Fit

Share: TypeAlias = Literal["E", "alpha", "beta"]
_CHUNK = 400_000
"""Weights of one family in one batch of refits."""


@dataclass
class Team:
    """Families that share parameters: their blank fits, and each one's law with all parameters free."""

    blanks: Sequence[Fit]
    free: Sequence[SurfaceFit]
    options: Options
    names: tuple[Share, ...]

    def fits(self) -> list[Fit]:
        """Each family's fit, with its draws if bootstraps are requested."""
        start = np.mean([self._own(fit) for fit in self.free], axis=0)[None, :]
        thetas = [fit.minimum.theta[None, :] for fit in self.free]
        joint = fit_jointly(self._parts(None), self.names, start, thetas)
        units = [self._unit(blank) for blank in self.blanks]
        alone = self._without_each(joint, units)
        shared = self._shared(joint, units)
        found = [self._fit(place, joint, shared) for place in range(len(self.blanks))]
        if not self.options.bootstraps:
            return found
        laws, rows = self._draws(joint, units)
        without: list[Surface | None] = [None] * len(found)
        if alone is not None:
            without = [*self._laws(alone.theta, None)]
        return [
            replace(fit, draws=law, draw_ids=rows, leave_one_out=one)
            for fit, law, one in zip(found, laws, without, strict=True)
        ]

    def _unit(self, blank: Fit) -> Indices:
        """The resampling unit of each point of a family."""
        return resampling_units(blank.samples, self.options.form)

    def _shared(self, joint: Joint, units: Sequence[Indices]) -> SharedParameters:
        """The shared parameters, with their test."""
        test, found = self._test(joint, units)
        return SharedParameters(
            names=self.names,
            values=tuple(float(value) for value in joint.shared[0]),
            families=tuple(str(blank.architecture) for blank in self.blanks),
            test=test,
            statistic=found[0],
            degrees_of_freedom=found[1],
            p_value=found[2],
            first_unit=0,
        )

    def _test(self, joint: Joint, units: Sequence[Indices]) -> tuple[str, Tested]:
        """Test what is shared: by Wald's statistic where units are trajectories, by F where they are points."""
        if all(int(unit.max()) + 1 == unit.size for unit in units):
            return "F", f_test(self._parts(None), joint)
        own = np.array([self._own(fit) for fit in self.free])
        without = [self._free_without_each(*one) for one in zip(self.blanks, self.free, units, strict=True)]
        return "Wald's F", wald_test(own, without, min(int(unit.max()) for unit in units))

    def _free_without_each(self, blank: Fit, fit: SurfaceFit, unit: Indices) -> Floats:
        """A family's own shared parameters without each of its units, shape (units, m)."""
        law, _ = draw_surfaces(blank.samples, fit, self.options.form, without_each(unit))
        return np.stack([np.asarray(getattr(law, name)) for name in self.names], axis=1)

    def _own(self, fit: SurfaceFit) -> Floats:
        """A family's own values of the shared parameters, in the user's units."""
        theta = fit.minimum.theta
        return np.array([theta[PLACES[name]] * (fit.prepared.scale if name == "E" else 1.0) for name in self.names])

    def _parts(self, times: Sequence[Floats] | None) -> Sequence[AnyMember]:
        """The families with their points' weights: each point once, or as often as (k, n) times say."""
        parts = []
        for place, (blank, fit) in enumerate(zip(self.blanks, self.free, strict=True)):
            weights = blank.samples.weight / blank.samples.weight.mean() * fit.trust
            parts.append(Member(fit=fit, weights=weights[None, :] if times is None else times[place] * weights))
        return parts

    def _refit(self, joint: Joint, times: Sequence[Floats]) -> Joint:
        """Fit jointly again, from the optimum, to points as often as (k, n) times say."""
        count = times[0].shape[0]
        thetas = [np.repeat(theta, count, axis=0) for theta in joint.theta]
        return fit_jointly(self._parts(times), self.names, np.repeat(joint.shared, count, axis=0), thetas)

    def _without_each(self, joint: Joint, units: Sequence[Indices]) -> Joint | None:
        """The joint fit without each unit of each family in turn; None where units are too many for it."""
        counts = [int(unit.max()) + 1 for unit in units]
        if sum(counts) >= MANY_UNITS:
            return None
        times = []
        for place, unit in enumerate(units):
            every = [np.ones((count, unit.size)) for count in counts]
            every[place] = without_each(unit)
            times.append(np.concatenate(every))
        return self._refit(joint, times)

    def _draws(self, joint: Joint, units: Sequence[Indices]) -> tuple[list[Surface], Indices]:
        """Refit to resamples of all families, each drawn by itself: the laws, and the resamples that they are of."""
        count, seed = self.options.bootstraps, self.options.seed
        seeds = [int(np.random.SeedSequence([seed, place]).generate_state(1)[0]) for place in range(len(units))]
        times = [resample(unit, count, own) for unit, own in zip(units, seeds, strict=True)]
        size = max(1, _CHUNK // max(unit.size for unit in units))
        parts = [self._refit(joint, [one[k : k + size] for one in times]) for k in range(0, count, size)]
        kept = np.concatenate([part.converged for part in parts])
        for blank, one in zip(self.blanks, times, strict=True):
            kept &= determined(blank.samples, self.options.form, one)
        thetas = [np.concatenate([part.theta[place] for part in parts]) for place in range(len(units))]
        rows = np.flatnonzero(kept)
        return [law.take(rows) for law in self._laws(thetas, times)], rows

    def _laws(self, thetas: Sequence[Floats], times: Sequence[Floats] | None) -> list[Surface]:
        """Convert each family's theta (k, P); the cost is fitted to the resamples where they are given."""
        laws = []
        for place, (blank, fit) in enumerate(zip(self.blanks, self.free, strict=True)):
            cost = fit.surface.cost
            if times is not None and not is_proportional(blank.samples):
                cost = fit_cost_draws(blank.samples, times[place] * blank.samples.weight)
            laws.append(to_surface(fit.prepared, thetas[place], cost, self.options.form))
        return laws

    def _fit(self, place: int, joint: Joint, shared: SharedParameters) -> Fit:
        """One family's fit, without its refits."""
        blank, free, form = self.blanks[place], self.free[place], self.options.form
        theta, problem = joint.theta[place][0], free.prepared.problem
        residuals = problem.z - predict(problem, theta[None, :])[0]
        held = (theta <= problem.lower) | (theta >= problem.upper)
        minimum = replace(
            free.minimum,
            theta=theta,
            at_bound=held & (np.abs(problem.free).sum(axis=1) > 0),
            objective=float(joint.objectives[place, 0]),
            gradient_norm=float(joint.gradient_norm[place, 0]) if joint.converged[0] else float("inf"),
            residuals=residuals,
            noise=robust_scale(residuals, problem.free.shape[1]),
        )
        found = replace(free, surface=to_surface(free.prepared, theta, free.surface.cost, form), minimum=minimum)
        first = sum(int(self._unit(one).max()) + 1 for one in self.blanks[:place])
        fit = replace(
            with_minimum(blank, minimum),
            estimate=found.surface,
            trust=found.trust,
            shared=replace(shared, first_unit=first),
        )
        findings = [*law_findings(blank.samples, found, form), sharing_finding(shared)]
        if "E" in self.names and not minimum.at_bound[0]:
            findings += asymptote_findings(found, without_asymptote(self._parts(None), self.names, joint), IDENTIFIED)
        return with_lack_of_fit(with_findings(fit, findings), surface_misfit(blank.samples, found, form))
