"""Against the estimators that PyPI has: objective, time, RMSE of a, coverage, in one run.

    python benchmarks/frontier_peers.py points.csv [--replicates 40] [--python /path/to/python3.12]

Each peer is installed into a virtual environment of its own under a temporary folder. `points.csv`: Chinchilla's points
(as for frontier_chinchilla.py). `simple-scaling-laws` needs Python 3.12: name one with --python where it is not on the
path.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from frontier_chinchilla import read
from frontier_simulation import ALPHA, BETA, layout, loss

from raysweep.frontier import fit

PEERS = {"chinchilla": (3, 11), "simple-scaling-laws": (3, 12)}
TRUE = BETA / (ALPHA + BETA)
DRAWS = 300


def simulated(count):
    """Return `count` tables of 40 points with Gaussian noise, then as many with outliers added."""
    params, data, flops = layout(40)
    tables = ([], [])
    for seed in range(count):
        generator = np.random.default_rng([seed, 7])
        gauss = 0.005 * generator.normal(size=40)
        raised = gauss + np.where(generator.random(40) < 0.08, generator.exponential(0.05, 40), 0.0)
        for place, noise in enumerate((gauss, raised)):
            values = {"params": params, "data": data, "flops": flops, "loss": loss(params, data) * np.exp(noise)}
            tables[place].append({name: column.tolist() for name, column in values.items()})
    return [*tables[0], *tables[1]]


def objective(law, points):
    """Return the sum of Huber(1e-3) of log residuals: what approach 3 minimises."""
    predicted = law["E"] + law["A"] * points["params"] ** -law["alpha"] + law["B"] * points["data"] ** -law["beta"]
    away = np.abs(np.log(points["loss"] / predicted))
    return float(np.sum(np.where(away < 1e-3, 0.5 * away**2, 1e-3 * (away - 0.5e-3))))


def interpreter(least, named):
    """Return a Python of at least that version, None where there is none."""
    for candidate in (named, sys.executable, *(shutil.which(f"python3.{minor}") for minor in (12, 13, 14))):
        if candidate is None:
            continue
        code = "import sys; print(*sys.version_info[:2])"
        done = subprocess.run([candidate, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode == 0 and tuple(map(int, done.stdout.split())) >= least:
            return candidate
    return None


def peer(name, tables, named):
    """Return a peer's answers for all tables, or the reason why there are none."""
    python = interpreter(PEERS[name], named)
    if python is None:
        return f"needs Python {'.'.join(map(str, PEERS[name]))}: name one with --python"
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        own = str(Path(folder) / "bin" / "python")
        installed = subprocess.run(
            [own, "-m", "pip", "install", "-q", name], capture_output=True, text=True, check=False
        )
        if installed.returncode:
            return f"cannot be installed: {installed.stderr.strip().splitlines()[-1]}"
        worker = Path(__file__).with_name("frontier_peer_worker.py")
        task = json.dumps({"peer": name, "tables": tables, "draws": DRAWS})
        one_core = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run([own, str(worker)], input=task, capture_output=True, text=True, check=False, env=one_core)
        return json.loads(done.stdout) if done.returncode == 0 else f"failed: {done.stderr.strip().splitlines()[-1]}"


def ours(tables):
    """Return raysweep's answers in the same form; the first table with the objective of approach 3, as the peers."""
    answers = []
    for place, table in enumerate(tables):
        began = time.process_time()
        found = fit(table, loss_delta=1e-3 if place == 0 else "adaptive", bootstraps=DRAWS)
        seconds = time.process_time() - began
        interval = found.interval("a")
        law = {name: getattr(found.law, name) for name in ("E", "A", "alpha", "B", "beta")}
        answers.append({"law": law, "interval_a": [interval.low, interval.high], "seconds": seconds})
    return answers


def line(name, answers, points, count):
    """Print one row of the table."""
    if isinstance(answers, str):
        print(f"{name:<20} {answers}")
        return
    first = answers[0]
    value = f"{objective(first['law'], points):.6e}" if "law" in first else first["error"][:40]
    shown = []
    for rows in (answers[1 : 1 + count], answers[1 + count :]):
        good = [row for row in rows if "law" in row]
        a = np.array([row["law"]["beta"] / (row["law"]["alpha"] + row["law"]["beta"]) for row in good])
        spans = [row["interval_a"] for row in good if row["interval_a"]]
        covered = f"{np.mean([low <= TRUE <= high for low, high in spans]):.0%}" if spans else "no intervals"
        rmse = f"{np.sqrt(np.mean((a - TRUE) ** 2)):.4f}" if a.size else "-"
        shown.append(f"{rmse} / {covered} ({len(good)} of {len(rows)})")
    print(f"{name:<20} {value:<14} {first['seconds']:>7.2f} s   {shown[0]:<30} {shown[1]}")


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("points")
    parser.add_argument("--replicates", type=int, default=40)
    parser.add_argument("--python")
    arguments = parser.parse_args()
    points = read(arguments.points)
    tables = [{name: column.tolist() for name, column in points.items()}, *simulated(arguments.replicates)]
    print(f"240 points: sum of Huber(1e-3), CPU of fit and {DRAWS} bootstraps; 40 points: RMSE of a / coverage of 95 %")
    print(f"{'':<20} {'objective':<14} {'CPU':>9}   {'Gaussian':<30} with outliers")
    fit(tables[1], bootstraps=0)
    line("raysweep", ours(tables), points, arguments.replicates)
    for name in PEERS:
        line(name, peer(name, tables, arguments.python), points, arguments.replicates)


if __name__ == "__main__":
    main()
