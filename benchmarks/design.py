"""`grid.design: auto` on simulated surfaces: budgets whose N* it brackets, and a's interval against hand-made grids.

    python benchmarks/design.py [--replicates 20] [--grid quickstart] [--surface transition]

A surface is drawn anew for each replicate: alpha from .25 to .85, beta from .3 to .8, E up to a fifth of the loss of .3
at 10^4 parameters and 10^6 atoms, the term in N a share of .35 to .75 of the rest; C = 600 N^.8 D. Noise of runs: a
standard deviation of 2 to 6 % at 10^4 parameters that falls as N^-.15, an autoregression in ln D of e-folding 3 with a
white share of 5 %. The sizes are ten from 300 to 3e5 parameters, the data up to 3.2e7 atoms.

Hand-made grids, and the automatic one of equal FLOPs: quickstart, four sizes over a factor of 100, one seed, data
budgets at factors of two; isoflop, the sizes with D/N from 10 to 1,000 at each of four budgets, one seed. N* is to be
bracketed at four budgets half a decade apart, the largest an eighth of the grid's FLOPs. A budget counts where two of
the ten sizes lie on either side of its true N* and reach it within the data; it is bracketed where two on either side
were trained to it.

Surfaces: law, as above; transition, curves that leave a starting plateau about D0, 1e5 to 2e6 atoms: the law at
D + D0 times e^(h s), s = 1 / (1 + (D / D0)^1.5), h from .3 to .7, with the plateau's loss among the columns
(`trivial_loss`); bend, an exponent of D that falls by .1 to .3 about an amount between 1e6 and 1e7. N* is then that of
the surface itself, by a fine grid. In a transition a budget counts only where the sizes see five times D0, and a is
that of the law; with a bend it is that of the surface between the budgets. Told with a's coverage is how many of the
intervals that miss it stand beside a caution (transition, law_bends).

The rounds are chosen by the code that a sweep runs (`raysweep.sweep.stages.brackets`); only the losses are drawn.
Bars: N* bracketed at 95 % of the budgets that can be; width of a at most that of the hand-made grid.
"""

import argparse
import warnings

import numpy as np
import pyarrow as pa

from raysweep.frontier import fit
from raysweep.frontier.design.planned import PlannedPoints, brackets
from raysweep.frontier.fitting.run_noise.runs import Memory, arrange_runs, draw_errors
from raysweep.frontier.laws.laws import CostModel, Surface
from raysweep.frontier.points.findings import Kind
from raysweep.sweep.space.parts import Adaptive
from raysweep.sweep.stages.adaptive import Candidate
from raysweep.sweep.stages.brackets.bracketing import next_bracketing_round, pilot
from raysweep.sweep.stages.brackets.state import Aim

COST = CostModel(log_kappa=float(np.log(600.0)), params_power=0.8, data_power=1.0)
SIZES = np.round(np.geomspace(300, 3e5, 10))
DATA = 3.2e7 / 2.0 ** np.arange(8)[::-1]
SEEDS = 8


def main():
    """Print a line for each replicate, and the shares and medians over all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--grid", choices=("quickstart", "isoflop"))
    parser.add_argument("--surface", choices=("law", "transition", "bend"), default="law")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for kind in (arguments.grid,) if arguments.grid else ("quickstart", "isoflop"):
        rows = [replicate(kind, arguments.first + k, arguments.surface) for k in range(arguments.replicates)]
        columns = (np.array(column) for column in zip(*rows, strict=True))
        found, possible, by_hand, widths, hand, covered, refused, doubted = columns
        told = ~refused
        ratio = widths[told] / hand[told]
        print(f"{kind}, {arguments.surface}: {refused.sum()} of {len(rows)} refused; {possible[refused]} could be")
        print(f"  N* bracketed at {found[told].sum()} of {possible[told].sum()} budgets, by hand {by_hand[told].sum()}")
        print(f"  width of a {np.median(widths[told]):.3f}, by hand {np.median(hand[told]):.3f}, medians", end=", ")
        print(f"ratio {np.median(ratio):.2f}, at most 1 in {np.mean(ratio <= 1):.0%}")
        missed = told & ~covered
        print(
            f"  a covered in {covered[told].sum()} of {told.sum()}, {(missed & doubted).sum()} others cautioned",
            flush=True,
        )


def replicate(kind, seed, of):
    """Return how many budgets are bracketed, can be, and are by hand; widths of a; if it is covered; if refused."""
    generator = np.random.default_rng([seed, 71])
    law, errors = surface(generator), Errors(generator)
    law = Curve(law, of, generator)
    budgets, by_hand = hand_made(kind)
    total = sum(ends(by_hand))
    hand = errors.table(law, by_hand)
    width_by_hand = width(fit(hand, bootstraps=200))
    aim = Aim(budgets=budgets, settings=Adaptive(flops=total))
    candidates = trajectories(budgets)
    taken, rounds, coming = [], 0, pilot(candidates, aim)
    while coming.chosen:
        rounds += 1
        taken += coming.chosen
        ids = {candidate.trial_id for candidate in taken}
        coming = next_bracketing_round(candidates, ids, errors.table(law, taken), aim)
    points = errors.table(law, taken)
    everything = brackets(planned(trajectories(budgets)), law, budgets, law.least_data)
    can = [one.bracketed for one in everything]
    good = [one.bracketed for one in brackets(planned(taken), law, budgets)]
    both, refused = np.logical_and(good, can), coming.ended == "transition"
    fitted = fit(points, bootstraps=200)
    found = None if refused else fitted.interval("a")
    doubted = refused or any(fitted.status.found(kind) for kind in (Kind.TRANSITION, Kind.LAW_BENDS))
    wide = np.nan if refused else width(found)
    spent = sum(candidate.flops for candidate in taken)
    print(
        f"  {kind} {seed}: alpha {law.law.alpha:.2f} beta {law.law.beta:.2f}, from {law.least_data:.2g} atoms on; "
        f"bracketed {sum(both)} of {sum(can)}; width {wide:.3f} by hand {width_by_hand:.3f}; {len(taken)} runs in "
        f"{rounds} rounds, {spent / total:.2f} of the FLOPs, {coming.ended}; {coming.told}; {fitted.status.kind}",
        flush=True,
    )
    true = law.params_exponent(budgets)
    hand_good = [one.bracketed for one in brackets(planned(by_hand), law, budgets)]
    return (
        sum(both), sum(can), sum(np.logical_and(hand_good, can)), wide, width_by_hand,
        refused or found.low <= true <= found.high, refused, doubted,
    )  # fmt: skip


def width(found):
    """Return the width of an interval, or of a's in a fit."""
    interval = found.interval("a") if hasattr(found, "interval") else found
    return interval.high - interval.low


def surface(generator):
    """Return a law."""
    alpha, beta = generator.uniform(0.25, 0.85), generator.uniform(0.3, 0.8)
    asymptote, share = 0.3 * generator.uniform(0.0, 0.2), generator.uniform(0.35, 0.75)
    above = 0.3 - asymptote
    return Surface(
        E=asymptote, log_A=float(np.log(share * above) + alpha * np.log(1e4)), alpha=alpha,
        log_B=float(np.log((1 - share) * above) + beta * np.log(1e6)), beta=beta, cost=COST,
    )  # fmt: skip


class Curve:
    """A surface: a law, one behind a starting plateau, or one whose exponent in D falls."""

    def __init__(self, law, of, generator):
        self.law, self.of, self.least_data, self.late = law, of, 0.0, None
        if of == "transition":
            self.late, self.height = np.exp(generator.uniform(np.log(1e5), np.log(2e6))), generator.uniform(0.3, 0.7)
            self.least_data = 5 * self.late
        self.knee, self.fall = np.exp(generator.uniform(np.log(1e6), np.log(1e7))), generator.uniform(0.1, 0.3)

    def trivial(self, params):
        """Loss of sizes on the starting plateau."""
        return np.inf if self.late is None else np.exp(self.height) * np.asarray(self.law.loss(params, self.late))

    def loss(self, params, data):
        """Loss of sizes and amounts of data."""
        loss = np.asarray(self.law.loss(params, data))
        if self.of == "transition":
            share = 1 / (1 + (data / self.late) ** 1.5)
            return np.asarray(self.law.loss(params, data + self.late)) * np.exp(self.height * share)
        if self.of == "bend":  # the term in D, times (D / knee)^fall far beyond the knee
            term = np.exp(self.law.log_B) * data**-self.law.beta
            return loss + term * ((1 + data / self.knee) ** self.fall - 1)
        return loss

    def optimum(self, flops):
        """N*, D* and L* at a compute, by a fine grid in ln N."""
        params = np.geomspace(10, 1e7, 20001)
        data = flops / COST.cost(params, 1.0)
        loss = self.loss(params, data)
        place = int(np.argmin(loss))
        return params[place], data[place], loss[place]

    def params_exponent(self, budgets):
        """A of the law after a transition; where there is none, of the surface between the budgets."""
        if self.of != "bend":
            return float(self.law.params_exponent)
        low, high = (self.optimum(budget)[0] for budget in (budgets[0], budgets[-1]))
        return float(np.log(high / low) / np.log(budgets[-1] / budgets[0]))


def per_atom(size):
    """Return the FLOPs of an atom."""
    return float(COST.cost(size, 1.0))


def trajectory(size, seed, atoms):
    """Return a candidate."""
    return Candidate(
        trial_id=f"{size:.0f} {seed} {max(atoms):.6g}", size=f"{size:.0f}", seed=seed, run=f"{size:.0f} {seed}",
        params=int(size), atoms=tuple(atoms), flops=per_atom(size) * max(atoms),
    )  # fmt: skip


def trajectories(budgets):
    """Return every trajectory at each of its lengths."""
    found = []
    for size in SIZES:
        stops = sorted({*DATA, *(c / per_atom(size) for c in budgets if c / per_atom(size) <= DATA[-1])})
        found += [trajectory(size, seed, stops[:end]) for seed in range(SEEDS) for end in range(1, len(stops) + 1)]
    return found


def hand_made(kind):
    """Return four budgets, and the trajectories of a grid made without knowing the law."""
    if kind == "quickstart":
        sizes, data = SIZES[[2, 4, 6, 8]], DATA[2:-1]
        total = sum(per_atom(size) * data[-1] for size in sizes)
        budgets = budgets_below(total)
        stops = [sorted({*data, *(c / per_atom(n) for c in budgets if c / per_atom(n) <= data[-1])}) for n in sizes]
        return budgets, [trajectory(size, 0, stop) for size, stop in zip(sizes, stops, strict=True)]
    budgets = (3e11, 1e12, 3e12, 1e13)
    found = {}
    for flops in budgets:
        for size in SIZES:
            if 10 <= flops / per_atom(size) / size <= 1000 and flops / per_atom(size) <= DATA[-1]:
                found.setdefault(size, []).append(flops / per_atom(size))
    by_hand = [trajectory(size, 0, atoms) for size, atoms in found.items()]
    return budgets_below(sum(ends(by_hand))), by_hand


def budgets_below(total):
    """Return four budgets whose largest is an eighth of the FLOPs."""
    return tuple(float(f"{total / 8 / 10 ** (0.5 * k):.3g}") for k in range(4))[::-1]


def ends(chosen):
    """Return the FLOPs of each trajectory."""
    return [candidate.flops for candidate in chosen]


def planned(chosen):
    """Return the points of some trajectories, without losses."""
    rows = [(float(c.params), d, c.per_atom * d, c.run) for c in chosen for d in c.atoms]
    return PlannedPoints.of(*zip(*rows, strict=True))


class Errors:
    """Errors of ln loss: the same for a run however long it is, at whatever data it is evaluated."""

    def __init__(self, generator):
        self.deviation = generator.uniform(0.02, 0.06)
        self.seed = int(generator.integers(2**31))
        self.drawn = {}

    def table(self, law, chosen):
        """Return the points on some trajectories, with losses."""
        points = planned(chosen)
        stops = np.geomspace(DATA[0] / 64, DATA[-1], 600)
        errors = np.empty(points.params.size)
        for k, (run, size) in enumerate(dict.fromkeys((c.run, c.params) for c in chosen)):
            if run not in self.drawn:
                self.drawn[run] = self._draw(size, stops, run)
            mine = points.run == k
            errors[mine] = np.interp(np.log(points.data[mine]), np.log(stops), self.drawn[run])
            errors[mine] += self._white(size, run, points.data[mine])
        loss = np.minimum(law.loss(points.params, points.data) * np.exp(errors), 1.05 * law.trivial(points.params))
        run = np.array([c.run for c in chosen for _ in c.atoms])
        columns = {"params": points.params, "data": points.data, "flops": points.flops, "loss": loss}
        if law.late is not None:
            columns["trivial_loss"] = law.trivial(points.params)
        return pa.table({**columns, "trajectory": run})

    def _scale(self, size):
        return self.deviation * (size / 1e4) ** -0.15

    def _draw(self, size, stops, run):
        ones = np.ones(stops.size)
        arranged = arrange_runs(
            np.log(size * ones), np.log(stops), np.zeros(stops.size, dtype=np.int64), ones, ones, float(np.log(size))
        )
        memory = Memory(memory=np.array([3.0]), white=np.array([0.0]), slope=np.array([0.0]))
        size_number, seed = (int(float(part)) for part in run.split())
        level = np.log([np.sqrt(0.95) * self._scale(size)])
        return draw_errors(arranged, memory, level, (self.seed, size_number, seed))[0]

    def _white(self, size, run, data):
        size_number, seed = (int(float(part)) for part in run.split())
        keys = [[self.seed, size_number, seed, int(d)] for d in data]
        normal = np.array([np.random.default_rng(key).normal() for key in keys])
        return np.sqrt(0.05) * self._scale(size) * normal


if __name__ == "__main__":
    main()
