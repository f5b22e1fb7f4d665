"""`grid.design: auto` on simulated surfaces: budgets whose N* it brackets, and a's interval against hand-made grids.

    python benchmarks/design.py [--replicates 20] [--grid quickstart]

A surface is drawn anew for each replicate: alpha from .25 to .85, beta from .3 to .8, E up to a fifth of the loss of .3
at 10^4 parameters and 10^6 atoms, the term in N a share of .35 to .75 of the rest; C = 600 N^.8 D. Noise of runs: a
standard deviation of 2 to 6 % at 10^4 parameters that falls as N^-.15, an autoregression in ln D of e-folding 3 with a
white share of 5 %. The sizes are ten from 300 to 3e5 parameters, the data up to 3.2e7 atoms.

Hand-made grids, and the automatic one of equal FLOPs: quickstart, four sizes over a factor of 100, one seed, data
budgets at factors of two; isoflop, the sizes with D/N from 10 to 1,000 at each of four budgets, one seed. N* is to be
bracketed at four budgets half a decade apart, the largest an eighth of the grid's FLOPs. A budget counts where two of
the ten sizes lie on either side of its true N* and reach it within the data; it is bracketed where two on either side
were trained to it.

The rounds are chosen by the code that a sweep runs (`raysweep.sweep.stages.bracketing`); only the losses are drawn.
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
from raysweep.sweep.space.parts import Adaptive
from raysweep.sweep.stages.adaptive import Candidate
from raysweep.sweep.stages.bracket_state import Aim
from raysweep.sweep.stages.bracketing import next_bracketing_round, pilot

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
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for kind in (arguments.grid,) if arguments.grid else ("quickstart", "isoflop"):
        rows = [replicate(kind, arguments.first + k) for k in range(arguments.replicates)]
        found, possible, by_hand, widths, hand, covered = (np.array(column) for column in zip(*rows, strict=True))
        ratio = widths / hand
        print(
            f"{kind}: bracketed at {found.sum()} of {possible.sum()} budgets ({found.sum() / possible.sum():.1%}; "
            f"by hand {by_hand.sum() / possible.sum():.1%}); width of a {np.median(widths):.3f}, by hand "
            f"{np.median(hand):.3f}, ratio {np.median(ratio):.2f} at the median, at most 1 in "
            f"{np.mean(ratio <= 1):.0%}; a covered in {covered.mean():.0%} of {len(rows)}",
            flush=True,
        )


def replicate(kind, seed):
    """Return how many budgets are bracketed, can be, and are by hand; both widths of a; whether it is covered."""
    generator = np.random.default_rng([seed, 71])
    law, errors = surface(generator), Errors(generator)
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
    found = fit(points, bootstraps=200).interval("a")
    everything = brackets(planned(trajectories(budgets)), law, budgets)
    can = [one.bracketed for one in everything]
    good = [one.bracketed for one in brackets(planned(taken), law, budgets)]
    spent = sum(candidate.flops for candidate in taken)
    print(
        f"  {kind} {seed}: alpha {law.alpha:.2f} beta {law.beta:.2f} bracketed {sum(np.logical_and(good, can))} of "
        f"{sum(can)}; width {width(found):.3f} by hand {width_by_hand:.3f}; {len(taken)} runs in {rounds} rounds, "
        f"{spent / total:.2f} of the FLOPs, {coming.ended}; {coming.told}",
        flush=True,
    )
    true = float(law.params_exponent)
    hand_good = [one.bracketed for one in brackets(planned(by_hand), law, budgets)]
    return (
        sum(np.logical_and(good, can)), sum(can), sum(np.logical_and(hand_good, can)), width(found), width_by_hand,
        found.low <= true <= found.high,
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
        loss = law.loss(points.params, points.data) * np.exp(errors)
        run = np.array([c.run for c in chosen for _ in c.atoms])
        columns = {"params": points.params, "data": points.data, "flops": points.flops, "loss": loss}
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
