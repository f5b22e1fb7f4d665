"""Hyperparameter laws on simulated twins of 2503.04715's runs: bias, coverage, and other estimators on the same runs.

    python benchmarks/frontier_hyperparameters.py [--replicates 100] [--bootstraps 100] [--without-peers]

The twin: 18 pairs of N (.06 to 1.07 B) and D (2 to 100 B tokens) with 104 pairs of learning rate and batch size each;
best rate 1.79 N^-.713 D^.307, best batch .58 D^.571, each off by 5 % in a cell; the valley is steep towards high rates
(e^(u/2) - u/2 - 1); noise .15 % of the loss, 2 % of the runs fail and end some 10 % higher.

Bar: each of .713, .307, .571 inside its 95 % interval in at least 93 % of the replicates, bias below 3 %.

Peers on the same runs: the lowest run of each cell and a regression; all runs within .25 % of the lowest and a
regression (as the paper's own code does); a parabola in each cell (least squares over its runs within 4 % of the
lowest), its vertex, and a regression.
"""

import argparse
import time

import numpy as np

from raysweep.frontier import fit_hyperparameters

RATE, BATCH = (1.79, -0.713, 0.307), (0.58, 0.571)
TRUTH = np.array([RATE[1], RATE[2], BATCH[1]])
SIZES, AMOUNTS = (6e7, 1.2e8, 2.1e8, 4.3e8, 1.07e9), (2e9, 5.7e9, 1.42e10, 2.84e10, 5.7e10, 1e11)
CELLS = [(n, d) for n in SIZES for d in AMOUNTS if 16 <= d / n <= 300]
RATES, BATCHES = 2.0 ** np.arange(-12, -5.9, 0.5), 2.0 ** np.arange(15, 22.1)
SCATTER, NOISE, FAILED = 0.05, 0.0015, 0.02


def twin(seed):
    """Return the runs of one replicate as columns."""
    generator = np.random.default_rng(seed)
    grid = np.array([(rate, batch) for rate in RATES for batch in BATCHES])
    parts = []
    for params, data in CELLS:
        level = 1.7 + 400 * params**-0.34 + 800 * data**-0.33
        best = np.log([RATE[0] * params ** RATE[1] * data ** RATE[2], BATCH[0] * data ** BATCH[1]])
        u, v = (np.log(grid) - best - SCATTER * generator.normal(size=2)).T
        excess = 0.048 * (np.exp(0.5 * u) - 0.5 * u - 1) + 0.067 * (np.exp(0.3 * v) - 0.3 * v - 1) - 0.002 * u * v
        error = NOISE * generator.normal(size=u.size)
        error += np.where(generator.random(u.size) < FAILED, generator.exponential(0.1, u.size), 0.0)
        ones = np.ones(u.size)
        parts.append(np.stack([params * ones, data * ones, *grid.T, level * np.exp(excess + error)]))
    names = ("params", "data", "learning_rate", "batch", "loss")
    return dict(zip(names, np.concatenate(parts, axis=1), strict=True))


def regressed(params, data, rates, batches):
    """Return a, b, c by least squares in logarithms."""
    one, n, d = np.ones(params.size), np.log(params), np.log(data)
    of_rate = np.linalg.lstsq(np.stack([one, n, d], axis=1), np.log(rates), rcond=None)[0]
    of_batch = np.linalg.lstsq(np.stack([one, d], axis=1), np.log(batches), rcond=None)[0]
    return np.array([of_rate[1], of_rate[2], of_batch[1]])


def chosen(runs, choose):
    """Return a, b, c from what `choose` takes of each cell: rows (rate, batch)."""
    rows = []
    for params, data in CELLS:
        inside = (runs["params"] == params) & (runs["data"] == data)
        logs = np.log(np.stack([runs["learning_rate"][inside], runs["batch"][inside]], axis=1))
        rows += [(params, data, *np.exp(best)) for best in choose(logs, np.log(runs["loss"][inside]))]
    return regressed(*np.array(rows).T)


def lowest(logs, loss):
    """The run with the lowest loss."""
    return logs[[int(np.argmin(loss))]]


def near_lowest(logs, loss):
    """All runs within .25 % of the lowest."""
    return logs[loss <= loss.min() + 0.0025]


def vertex(logs, loss):
    """The vertex of a parabola through the runs within 4 % of the lowest; none where it opens downwards."""
    near = loss <= loss.min() + 0.04
    x, y = (logs[near] - logs[near].mean(axis=0)).T
    terms = np.stack([np.ones(x.size), x, y, x**2 / 2, x * y, y**2 / 2], axis=1)
    _, gx, gy, xx, xy, yy = np.linalg.lstsq(terms, loss[near], rcond=None)[0]
    matrix = np.array([[xx, xy], [xy, yy]])
    if np.linalg.eigvalsh(matrix)[0] <= 0:
        return []
    return [logs[near].mean(axis=0) - np.linalg.solve(matrix, [gx, gy])]


PEERS = {"lowest run": lowest, "runs within .25 %": near_lowest, "parabola in each cell": vertex}


def main():
    """Print a line for each estimator."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--bootstraps", type=int, default=100)
    parser.add_argument("--without-peers", action="store_true")
    arguments = parser.parse_args()
    print(f"{len(CELLS)} cells, {RATES.size * BATCHES.size} runs each, {arguments.replicates} replicates; a, b, c")
    found, held, widths, seconds = [], [], [], time.process_time()
    for seed in range(arguments.replicates):
        fit = fit_hyperparameters(twin(seed), bootstraps=arguments.bootstraps, seed=seed)
        answers = [fit.exponent(name) for name in "abc"]
        found.append([answer.value for answer in answers])
        held.append([truth in answer.interval for truth, answer in zip(TRUTH, answers, strict=True)])
        widths.append([answer.interval.width for answer in answers])
    seconds = (time.process_time() - seconds) / arguments.replicates
    shown(np.array(found), "raysweep")
    covered, width = np.mean(held, axis=0), np.median(widths, axis=0)
    bias = np.abs(np.mean(found, axis=0) / TRUTH - 1)
    met = "met" if np.all(covered >= 0.93) and np.all(bias < 0.03) else "MISSED"
    print(f"{'':24} covered {_row(covered, '.0%')}  median width {_row(width, '.3f')}  bar {met}")
    print(f"{'':24} {seconds:.1f} s of CPU for a fit with {arguments.bootstraps} bootstraps")
    for name, choose in {} if arguments.without_peers else PEERS.items():
        shown(np.array([chosen(twin(seed), choose) for seed in range(arguments.replicates)]), name)


def shown(values, name):
    """Print bias and standard deviation of a, b, c."""
    bias, spread = np.mean(values, axis=0) / TRUTH - 1, np.std(values, axis=0)
    rmse = np.sqrt(np.mean((values - TRUTH) ** 2, axis=0))
    print(f"{name:<24} bias {_row(bias, '+.1%')}  sd {_row(spread, '.4f')}  RMSE {_row(rmse, '.4f')}", flush=True)


def _row(values, form):
    return " / ".join(format(value, form) for value in values)


if __name__ == "__main__":
    main()
