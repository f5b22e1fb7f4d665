"""Training FLOPs of one trajectory for six equally spaced budgets, against a run for each: two real sweeps.

    python benchmarks/naive_grid.py [--store runs/quickstart/data]

Both train mpnn and egnn, two sizes, to the same six data budgets with the same rates. The first sweep is raysweep's
plan, the second has a search space for each budget. FLOPs are those that the points carry.
"""

import argparse
import io
import tempfile
from pathlib import Path

import yaml
from rich.console import Console

from raysweep.data.generation.xtb import make_store
from raysweep.sweep.run import run
from raysweep.sweep.space.space import parse_space

BUDGETS = [200, 400, 600, 800, 1000, 1200]
FAMILIES = {
    name: {"architecture": name, "fixed": {"depth": 2}, "sizes": {"width": [8, 16]}} for name in ("mpnn", "egnn")
}


def main():
    """Run both, and print FLOPs, their ratio, and how far apart the losses are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", default="runs/quickstart/data")
    store = str(Path(parser.parse_args().store).resolve())
    if not Path(store).exists():
        make_store(Path(store), structures=4000)
    with tempfile.TemporaryDirectory() as folder:
        once = points(Path(folder) / "once", store, BUDGETS)
        each = [row for n in BUDGETS for row in points(Path(folder) / f"each-{n}", store, [n])]
    spent = [sum(rows[trial]["flops"] for trial in rows) for rows in (ends(once), ends(each))]
    print(f"{len(once)} and {len(each)} points; {spent[0]:.4g} FLOP on trajectories, {spent[1]:.4g} FLOP apart")
    print(f"the naive grid costs {spent[1] / spent[0]:.2f} times the FLOPs (bar 3)")
    key = lambda row: (row["family"], row["size"], row["data"])  # noqa: E731
    pairs = zip(sorted(once, key=key), sorted(each, key=key), strict=True)
    apart = max(abs(a["loss"] / b["loss"] - 1) for a, b in pairs)
    print(f"losses at the same budget differ by at most {apart:.1%}: other structures, in another order")


def points(storage, store, budgets):
    """Run a sweep, and return the points of its grid."""
    space = {
        "name": "naive",
        "storage": str(storage),
        "data": {"store": store},
        "families": FAMILIES,
        "grid": {"structures": budgets},
        "learning_rate": {"rates": dict.fromkeys(FAMILIES, 0.02)},
        "training": {"batch_atoms": 96, "optimizer": {"name": "schedulefree_adamw", "warmup_steps": 20}},
        "tracking": {"enabled": False},
    }
    result = run(parse_space(yaml.safe_dump(space), "naive.yaml"), console=Console(file=io.StringIO()))
    assert result.complete
    return result.table().to_pylist()


def ends(rows):
    """Return the last point of each trial."""
    found = {}
    for row in sorted(rows, key=lambda row: row["data"]):
        found[row["trial_id"]] = row
    return found


if __name__ == "__main__":
    main()
