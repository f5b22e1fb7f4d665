"""Simulated races: families with known laws, the noise of real runs, and a grid of runs that could be made.

The prior is that of neural force fields on embedded small organics (see "Noise of runs" in docs/frontier.md): loss
exponents from .15 to .4, a cost of 15 to 90 FLOP per parameter and atom, a standard deviation among seeds of 2 to 9 %
of the loss at the smallest size and less as N^-.35, remembered over 2.2 in ln D but for 5 % of its variance. Laws are
additive, coupled, or broken in D, in equal parts.
"""

from dataclasses import dataclass

import numpy as np

from raysweep.frontier import RaceCandidate

SIZES, LENGTHS, SEEDS, MORE = 6, 7, 3, 2
"""The full grid has SEEDS seeds of every size; a race may take MORE times as many."""
STEP = 2.5
"""Between sizes; lengths are a factor 2 apart."""
MEMORY, WHITE, SLOPE = 2.2, 0.05, -0.35
NOISE = (0.02, 0.09)
"""Standard deviation of ln loss among seeds of the smallest size: from and to."""
KINDS = ("additive", "coupled", "broken")


@dataclass(frozen=True)
class Law:
    """One family's loss: E + ((A N^-alpha)^(1/k) + (B D^-beta (1 + D_b/D)^bend)^(1/k))^k; `kappa` FLOP per N D."""

    E: float
    log_A: float
    alpha: float
    log_B: float
    beta: float
    coupling: float
    bend: float
    knee: float
    kappa: float

    def loss(self, params, data):
        """Loss of sizes and amounts of data."""
        first = np.exp(self.log_A - self.alpha * np.log(params))
        second = np.exp(self.log_B - self.beta * np.log(data)) * (1 + self.knee / data) ** self.bend
        return self.E + (first ** (1 / self.coupling) + second ** (1 / self.coupling)) ** self.coupling

    def best(self, flops):
        """N* and L* at a compute, by a fine grid in ln N."""
        params = np.exp(np.linspace(np.log(1e2), np.log(1e7), 4001))
        loss = self.loss(params, flops / self.kappa / params)
        place = int(np.argmin(loss))
        return float(params[place]), float(loss[place])


@dataclass(frozen=True)
class World:
    """Families with their laws, candidates, and the noise of every run."""

    laws: dict
    candidates: list
    flops: float
    crossing: bool
    noise: dict
    seed: int

    @property
    def truth(self):
        """The lowest loss of each family at the compute."""
        return {name: law.best(self.flops)[1] for name, law in self.laws.items()}

    @property
    def full_grid(self):
        """The trials of the full grid: SEEDS runs of every size, each at its full length."""
        longest = {}
        for one in (one for one in self.candidates if one.seed < SEEDS):
            if (one.family, one.run) not in longest or one.flops > longest[one.family, one.run].flops:
                longest[one.family, one.run] = one
        return [one.trial_id for one in longest.values()]

    @property
    def full_cost(self):
        """FLOPs of the full grid."""
        known = {one.trial_id: one for one in self.candidates}
        return sum(known[trial].flops for trial in self.full_grid)

    def points(self, trials):
        """The points of some trials."""
        known = {one.trial_id: one for one in self.candidates}
        columns = {name: [] for name in ("trial_id", "architecture", "params", "data", "flops", "loss")}
        for trial in trials:
            one = known[trial]
            law, data = self.laws[one.family], np.array(one.atoms)
            errors = self.noise[one.family, one.run][: len(data)]
            columns["trial_id"] += [trial] * len(data)
            columns["architecture"] += [one.family] * len(data)
            columns["params"] += [one.params] * len(data)
            columns["data"] += list(data)
            columns["flops"] += list(law.kappa * one.params * data)
            columns["loss"] += list(law.loss(one.params, data) * np.exp(errors))
        return columns


def make_world(seed, families=None, crossing=None, noise_range=NOISE):
    """Draw a world: 2 to 4 families; where `crossing`, another family is best at a tenth of the compute."""
    generator = np.random.default_rng([seed, 20])
    count = int(generator.integers(2, 5)) if families is None else families
    crossing = bool(seed % 2) if crossing is None else crossing
    flops = 10 ** generator.uniform(11.5, 13.0)
    for _ in range(10_000):
        laws = {f"family {k}": _draw_law(generator, flops) for k in range(count)}
        early = {name: law.best(flops / 10)[1] for name, law in laws.items()}
        late = {name: law.best(flops)[1] for name, law in laws.items()}
        if (min(early, key=early.get) != min(late, key=late.get)) == crossing:
            break
    else:
        raise RuntimeError("no such families")
    candidates, noise = [], {}
    for name, law in laws.items():
        spread = generator.uniform(*noise_range)
        centre, _ = law.best(flops)
        sizes = np.round(centre * np.exp(generator.normal(0, 0.3)) * STEP ** (np.arange(SIZES) - SIZES // 2))
        longest = flops / law.kappa / centre * 2 ** generator.uniform(0, 1.5)
        data = longest * 2.0 ** (np.arange(LENGTHS) - LENGTHS + 1)
        for k, size in enumerate(sizes):
            for number in range(MORE * SEEDS):
                run = f"{k}/{number}"
                noise[name, run] = spread * (size / sizes[0]) ** SLOPE * _remembered(data, generator)
                candidates += [
                    RaceCandidate(
                        trial_id=f"{name}/{run}/{end}",
                        family=name,
                        size=f"width={k}",
                        seed=number,
                        run=run,
                        params=float(size),
                        atoms=tuple(float(one) for one in data[: end + 1]),
                        flops=float(law.kappa * size * data[end]),
                    )
                    for end in range(2, LENGTHS)
                ]
    return World(laws=laws, candidates=candidates, flops=float(flops), crossing=crossing, noise=noise, seed=seed)


def _draw_law(generator, flops):
    """Draw a family: its exponents, its loss at the compute within about 10 % of others', its N* there."""
    kind = KINDS[int(generator.integers(3))]
    gamma, share = generator.uniform(0.15, 0.4), generator.uniform(0.4, 0.6)
    alpha, beta = gamma / share, gamma / (1 - share)
    loss, asymptote = 0.2 * np.exp(generator.normal(0, 0.08)), generator.uniform(0, 0.3)
    kappa = np.exp(generator.uniform(np.log(15), np.log(90)))
    params = np.sqrt(flops / kappa) / np.exp(generator.uniform(np.log(8), np.log(40)))
    data = flops / kappa / params
    reducible = loss * (1 - asymptote)
    coupling = generator.uniform(0.6, 0.9) if kind == "coupled" else 1.0
    bend, knee = (generator.uniform(0.2, 0.6), data * generator.uniform(0.02, 0.15)) if kind == "broken" else (0.0, 0.0)
    first, second = (reducible * part**coupling for part in (beta / (alpha + beta), alpha / (alpha + beta)))
    second /= (1 + knee / data) ** bend
    return Law(
        E=loss * asymptote,
        log_A=float(np.log(first) + alpha * np.log(params)),
        alpha=alpha,
        log_B=float(np.log(second) + beta * np.log(data)),
        beta=beta,
        coupling=coupling,
        bend=bend,
        knee=knee,
        kappa=float(kappa),
    )


def _remembered(data, generator):
    """Errors of unit variance along one run."""
    state = [generator.normal()]
    for factor in data[1:] / data[:-1]:
        kept = np.exp(-np.log(factor) / MEMORY)
        state.append(kept * state[-1] + np.sqrt(1 - kept**2) * generator.normal())
    return np.sqrt(1 - WHITE) * np.array(state) + np.sqrt(WHITE) * generator.normal(size=data.size)
