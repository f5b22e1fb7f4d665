"""Families that share parameters and whose runs have noise: losses are drawn of it, instead of whole trajectories."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from raysweep.frontier.answers.shared import SharedParameters
from raysweep.frontier.approaches.certificate import with_findings
from raysweep.frontier.approaches.runs import cost_draws, noise_findings
from raysweep.frontier.families.members import NoisyMember
from raysweep.frontier.families.profile import Joint, fit_jointly
from raysweep.frontier.families.restriction import Tested, f_test
from raysweep.frontier.families.team import Team
from raysweep.frontier.fitting.run_noise.draws import draw_losses, draw_noise
from raysweep.frontier.fitting.run_noise.mixed import MixedFit, deviations_about, level_of
from raysweep.frontier.fitting.surfaces import to_surface
from raysweep.frontier.fitting.trajectories import resampling_units, trajectories
from raysweep.frontier.laws.laws import Surface
from raysweep.frontier.numerics.arrays import Floats, Indices
from raysweep.frontier.numerics.intervals import resample
from raysweep.frontier.result import Fit


@dataclass
class TeamOfRuns(Team):
    """A team with each family's own fit with the noise of runs."""

    mixed: Sequence[MixedFit]

    def _unit(self, blank: Fit) -> Indices:
        return trajectories(blank.samples)

    def _test(self, joint: Joint, units: Sequence[Indices]) -> tuple[str, Tested]:
        return "F", f_test(self._parts(None), joint)

    def _parts(self, times: Sequence[Floats] | None) -> Sequence[NoisyMember]:
        """The families with their own losses: each run once, or as often as (k, n) times of its points say."""
        parts = []
        for place, mixed in enumerate(self.mixed):
            of_run = mixed.deviations.runs.place
            kept = np.ones((1, of_run.shape[0])) if times is None else times[place][:, of_run[:, 0]]
            count = kept.shape[0]
            parts.append(
                NoisyMember(
                    fit=mixed.fit,
                    mixed=mixed,
                    noise=mixed.memory.take(np.zeros(count, dtype=np.int64)),
                    level=np.full(count, level_of(mixed)),
                    losses=np.repeat(mixed.fit.prepared.problem.z[None, :], count, axis=0),
                    kept=kept,
                )
            )
        return parts

    def _draws(self, joint: Joint, units: Sequence[Indices]) -> tuple[list[Surface], Indices]:
        """Fit jointly to losses drawn of the noise, draw k of all families with one covariance."""
        count, seed = self.options.bootstraps, self.options.seed
        found = fit_jointly(
            [self._drawn(place, joint, count, seed) for place in range(len(self.mixed))],
            self.names,
            np.repeat(joint.shared, count, axis=0),
            [np.repeat(theta, count, axis=0) for theta in joint.theta],
        )
        rows, laws = np.flatnonzero(found.converged), []
        for blank, mixed, theta in zip(self.blanks, self.mixed, found.theta, strict=True):
            samples, form = blank.samples, self.options.form
            weights = resample(resampling_units(samples, form), count, seed)
            cost = cost_draws(samples, form, weights, mixed.fit.surface.cost)
            laws.append(to_surface(mixed.fit.prepared, theta, cost, form).take(rows))
        return laws, rows

    def _drawn(self, place: int, joint: Joint, count: int, seed: int) -> NoisyMember:
        """One family with losses about the joint law, drawn with the covariance of each draw."""
        mixed, samples = self.mixed[place], self.blanks[place].samples
        fit = replace(mixed.fit, minimum=replace(mixed.fit.minimum, theta=joint.theta[place][0]))
        about = replace(mixed, fit=fit, deviations=deviations_about(samples, fit, float(np.log(mixed.noise.params))))
        noise, level, normal = draw_noise(about, count, seed)
        losses, _ = draw_losses(about, noise, normal, level)
        kept = np.ones((count, about.deviations.runs.place.shape[0]))
        return NoisyMember(fit=mixed.fit, mixed=mixed, noise=noise, level=level, losses=losses, kept=kept)

    def _fit(self, place: int, joint: Joint, shared: SharedParameters) -> Fit:
        found, noise = super()._fit(place, joint, shared), self.mixed[place].noise
        return with_findings(replace(found, run_noise=noise), noise_findings(found.samples, self.options.form, noise))
