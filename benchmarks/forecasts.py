"""Forecasts put to the test on the embedded data: `python benchmarks/forecasts.py [FOLDER] [--quick]`.

A pilot grid (four families, five sizes, two seeds) on molecules that the sweep labels itself; then, before any of
their runs, forecasts of each family at 3, 5, 8, 15 and 30 times its largest compute (twenty of them); then their runs,
as many at once as there are cores. Printed: each forecast beside its outcome, the median absolute error and the share
inside the 95 % intervals, for the loss and for each metric (for the loss a median of 2 % at most and a share of 90 to
98 % are wanted). A forecast that needs more structures than the store has is named and left out.

FOLDER (default: runs/forecasts) keeps everything: the same command resumes after any interruption, and repeats nothing.
Runs are trained in the order of their cost, and figures are printed as soon as they are known. With the default
settings hours on two idle cores. `--part` has a quarter of the data and the two cheaper families, half an hour;
`--quick` is a small scale that shows that it works, in minutes, and says nothing about errors.
"""

import argparse
import json
from pathlib import Path
from statistics import median

import yaml

from raysweep.core.errors import RaysweepError
from raysweep.core.text import columns
from raysweep.storage.forecasts import Forecasts
from raysweep.storage.reader import SweepReader
from raysweep.sweep.forecasts.make import forecast, forecasts
from raysweep.sweep.forecasts.points import GridPoints
from raysweep.sweep.mlflow.prove import prove_each
from raysweep.sweep.mlflow.run import run
from raysweep.sweep.space.space import Space, load_space

FACTORS = (3.0, 5.0, 8.0, 15.0, 30.0)
"""Computes of the forecasts, over the largest of the family's own runs."""
AT_ONCE = 2
"""Runs that are trained side by side."""
FAMILIES = {
    "mpnn": {"architecture": "mpnn", "fixed": {"depth": 2}, "sizes": {"width": [8, 12, 16, 32, 48]}},
    "egnn": {"architecture": "egnn", "fixed": {"depth": 2}, "sizes": {"width": [4, 6, 8, 16, 24]}},
    "tensor-l1": {
        "architecture": "tensor", "fixed": {"depth": 2, "l_max": 1}, "sizes": {"width": [4, 6, 8, 14, 20]},
    },
    "tensor-l2": {
        "architecture": "tensor", "fixed": {"depth": 2, "l_max": 2}, "sizes": {"width": [4, 5, 6, 8, 12]},
    },
}  # fmt: skip


def space_of(folder: Path, scale: str) -> Space:
    """Write the search space, and load it."""
    families, quick = {name: {**family} for name, family in FAMILIES.items()}, scale == "quick"
    made, budgets, tuned = 150_000, [2500, 3500, 5000, 7000, 10_000, 14_000, 20_000], 3000
    if scale == "part":
        families = {name: families[name] for name in ("mpnn", "egnn")}
        made, budgets, tuned = 25_000, [625, 900, 1250, 1800, 2500, 3500, 5000], 2500
    if quick:
        families = {"mpnn": {**FAMILIES["mpnn"], "sizes": {"width": [4, 6, 8, 12]}}}
        made, budgets, tuned = 6000, [250, 350, 500, 700, 1000], 300
    content = {
        "name": "forecasts",
        "storage": str(folder / "sweep"),
        "data": {
            "store": str(folder / "data"),
            "make": {"structures": made, "seed": 0},
            "validation_structures": 128 if quick else 1024,
        },
        "families": families,
        "forces": "conservative",
        "grid": {"structures": budgets, "seeds": [0, 1]},
        "learning_rate": {
            "low": 2e-3, "high": 5e-2, "trials": 4 if quick else 6, "structures": tuned, "rungs": 1 if quick else 2,
            "horizons": [tuned // 3, tuned] if quick else [budgets[-1] // 10, budgets[-1]],
        },
        "training": {"batch_atoms": 96, "optimizer": {"name": "schedulefree_adamw", "warmup_steps": 100}},
        "tracking": {"enabled": False},
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "space.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return load_space(path)


def record(space: Space, factors: tuple[float, ...]) -> None:
    """Record a forecast of each family at each factor; print them, and the reasons of those that cannot be made."""
    fits = GridPoints.of(SweepReader(space.storage)).fits()
    largest = {family: float(fit.samples.cost.max()) for family, fit in fits.items()}
    for family in space.families:
        for factor in factors:
            try:
                made = forecast(space, flops=float(f"{factor * largest[family]:.4g}"), family=family)
            except (RaysweepError, KeyError) as error:
                print(f"{family} at {factor:g} × its largest compute: left out: {error}", flush=True)
                continue
            print(f"{made.id} {family} at {factor:g} ×: N = {made.params}, {made.structures} structures", flush=True)


def show(found: Forecasts) -> None:
    """Print the forecasts beside their outcomes, and the totals."""
    head = (
        "id",
        "family",
        "× beyond",
        "N",
        "D atoms",
        "quantity",
        "expected",
        "interval",
        "measured",
        "error",
        "inside",
    )
    rows, errors, inside = [head], {}, {}
    for one in found.outcomes:
        made = one.forecast
        for name, expected in made.expected.items():
            score = one.scores.get(name)
            beyond = f"{made.flops / made.fit.largest_flops:.3g}"
            shown = [f"{expected.value:.4g}", f"[{expected.low or 0:.4g}, {expected.high or 0:.4g}]"]
            shown += ["", "", one.state] if score is None else [
                f"{score.measured:.4g}", f"{score.error:+.2%}", "yes" if score.inside else "no"
            ]  # fmt: skip
            rows.append((one.id, made.family, beyond, str(made.params), f"{made.data:.4g}", name, *shown))
            if score is not None and one.counts:
                errors.setdefault(name, []).append(abs(score.error))
                inside.setdefault(name, []).append(bool(score.inside))
    print(columns(rows))
    for name, values in errors.items():
        share = sum(inside[name]) / len(values)
        print(f"{name}: {len(values)} proved, median error {median(values):.2%}, {share:.0%} inside their intervals")


def main() -> None:
    """Record forecasts, prove them, and print how they fared."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default="runs/forecasts", help="where everything is kept")
    parser.add_argument("--part", dest="scale", action="store_const", const="part", help="a part of it")
    parser.add_argument("--quick", dest="scale", action="store_const", const="quick", help="a small scale, in minutes")
    asked = parser.parse_args()
    folder = Path(asked.folder).resolve()
    space = space_of(folder, asked.scale or "full")
    run(space)
    if all(one.state == "planned" for one in forecasts(space).outcomes):  # before any run; each is recorded once
        record(space, (3.0, 5.0) if asked.scale == "quick" else FACTORS)
    found = forecasts(space)
    waiting = sorted(found.outcomes, key=lambda one: one.forecast.run_flops)
    for first in range(0, len(waiting), AT_ONCE):
        prove_each(space, [one.id for one in waiting[first : first + AT_ONCE]])
        found = forecasts(space)
        show(found)
    totals = {**vars(found.totals), "share_inside": found.totals.share_inside}
    (folder / "forecasts.json").write_text(json.dumps(totals, indent=1))


if __name__ == "__main__":
    main()
