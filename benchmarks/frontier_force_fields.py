"""Real force fields: the ranking of four architectures' gamma with intervals, and how it moves with the window.

    python benchmarks/frontier_force_fields.py points.csv

`points.csv` has arch, width, N, D_atoms, C_flops, f_loss_l2, force_mse_norm: 74 checkpoints of four architectures
trained on OMol25; those of one width are taken as one run's. The L2 norm of the force error is missing for one
architecture, so the ranking of all four is by the root of the mean squared error. E is held at 0, as in 2510.09768:
with it free two of the sets leave it open.
"""

import argparse
import csv

from raysweep.frontier import fit_families, windows_families

METRICS = {"root of force MSE": ("force_mse_norm", 0.5), "force L2": ("f_loss_l2", 1.0)}


def read(path, metric):
    """Return the points that have the metric."""
    column, power = METRICS[metric]
    with open(path) as stream:
        rows = [row for row in csv.DictReader(stream) if row[column]]
    names = {"params": "N", "data": "D_atoms", "flops": "C_flops"}
    points = {ours: [float(row[theirs]) for row in rows] for ours, theirs in names.items()}
    loss = [float(row[column]) ** power for row in rows]
    names = {"architecture": [row["arch"] for row in rows], "trajectory": [row["width"] for row in rows]}
    return {**points, "loss": loss, **names}


def ranked(fits):
    """Print the fits by rising gamma."""
    usable = {name: found for name, found in fits.items() if found.estimate is not None}
    for name, found in sorted(usable.items(), key=lambda item: item[1].loss_exponent):
        a = "" if found.method == "envelope" else f"   a {found.answer('a')}"
        print(f"    {name:<10} n = {found.samples.count:<3} gamma {found.answer('gamma')}{a}   [{found.status.kind}]")
    for name in fits.keys() - usable.keys():
        print(f"    {name:<10} {fits[name].status}")


def main():
    """Print rankings, probability of the order, windows and crossovers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("points")
    path = parser.parse_args().points
    for metric in METRICS:
        points = read(path, metric)
        for method in ("parametric", "envelope"):
            print(f"{metric}, {method}, E = 0")
            fits = fit_families(points, method=method, asymptote=0.0)
            ranked(fits)
        fits = fit_families(points, asymptote=0.0)
        print("    " + str(fits.contrasts()).replace("\n", "\n    "))
        for found in fits.crossovers():
            print(f"    {found.sentence}")
    print("windows, force MSE root, parametric, E = 0: gamma")
    for name, rows in windows_families(read(path, "root of force MSE"), asymptote=0.0, bootstraps=200).items():
        for row in rows:
            shown = row.loss_exponent if row.usable else row.sentence[:60]
            print(f"    {name:<10} C {row.lowest:.2g} to {row.highest:.2g}, {row.points:>2} points: {shown}")


if __name__ == "__main__":
    main()
