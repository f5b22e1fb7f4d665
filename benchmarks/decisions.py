"""Races between simulated families against the full grid, and against ranking at one small size.

    python benchmarks/decisions.py [--races 200] [--out decisions.jsonl] [--quick]

Each race is `frontier.race_round` on a world of `decision_simulation.py`: 2 to 4 families, half of the worlds with
another family best at a tenth of the compute. Results go to a file, one line a race; races that are in it are not run
again. Right: the family called best has the lowest loss at the compute; each family called equal is within delta of it.

    python benchmarks/decisions.py --points FILE --at FLOPS [--columns params=N,data=D,...]

A race on recorded runs instead: each trajectory of the file may be taken, up to any of its points. Told are the verdict
of the race with what it spent, and the verdict of all points.

Bars: at least 95 % of verdicts right at a stated 5 %, at most 25 % of the full grid's FLOPs; the family chosen at any
budget right (within delta of the best) more often than by ranking at one size with the same FLOPs; errors at most 5 %
when stopped at a random look. `decide` on the full grid's points at once stands beside the races.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
from decision_simulation import NOISE, make_world

from raysweep.frontier import RaceCandidate, RaceSettings, decide, race_round, read_csv, read_parquet

DELTA, ERROR = 0.02, 0.05
BUDGET = 0.25
"""Of the full grid's FLOPs."""
MOST_ROUNDS = 40
SHARES = (0.02, 0.05, 0.1, 0.25)


def main():
    """Run the races that are not in the file yet, then print the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--races", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="number of the first world")
    parser.add_argument("--out", type=Path, default=Path("decisions.jsonl"))
    parser.add_argument("--quick", action="store_true", help="ten races")
    parser.add_argument(
        "--noise", type=float, nargs=2, default=NOISE, help="of the smallest size, in ln loss: from, to"
    )
    parser.add_argument("--points", type=Path, help="Parquet or CSV file of recorded runs")
    parser.add_argument("--at", type=float, help="compute of the verdict on recorded runs, in FLOPs")
    parser.add_argument("--columns", default="", help="NAME=COLUMN,... where the file's columns have other names")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.points:
        columns = dict(pair.split("=") for pair in arguments.columns.split(",") if pair)
        recorded(arguments.points, arguments.at, columns)
        return
    wanted = range(arguments.first, arguments.first + (10 if arguments.quick else arguments.races))
    lines = arguments.out.read_text().splitlines() if arguments.out.exists() else []
    done = {one["seed"]: one for one in map(json.loads, lines)}
    for seed in wanted:
        if seed not in done:
            done[seed] = run_race(seed, tuple(arguments.noise))
            with arguments.out.open("a") as out:
                out.write(json.dumps(done[seed]) + "\n")
    summarise([done[seed] for seed in wanted])


def recorded(path, flops, columns):
    """Race on recorded runs, and print what it says beside the verdict of all points."""
    read = read_parquet if path.suffix == ".parquet" else read_csv
    table = read(path, columns)
    rows = table.to_pylist()
    if "trajectory" not in table.column_names:  # a run is a size of a family
        table = table.append_column("trajectory", pa.array([f"{row['architecture']} {row['params']}" for row in rows]))
        rows = table.to_pylist()
    candidates, points = [], {}
    for name in sorted({row["trajectory"] for row in rows}):
        run = sorted((row for row in rows if row["trajectory"] == name), key=lambda row: row["data"])
        for end in range(min(len(run), 3), len(run) + 1):
            trial, last = f"{name} to {end}", run[end - 1]
            points[trial] = [row | {"trajectory": trial} for row in run[:end]]
            candidates.append(
                RaceCandidate(
                    trial_id=trial,
                    family=str(last["architecture"]),
                    size=f"{last['params']:.0f}",
                    seed=int(last.get("seed") or 0),
                    run=name,
                    params=last["params"],
                    atoms=tuple(row["data"] for row in run[:end]),
                    flops=last["flops"],
                )
            )
    looks, spent = [], 0.0
    whole = sum(max(one.flops for one in candidates if one.run == run) for run in {one.run for one in candidates})
    while True:
        taken = [row for look in looks for trial in look for row in points[trial]]
        found = race_round(candidates, looks, pa.Table.from_pylist(taken) if taken else None, RaceSettings(flops=flops))
        print(f"look {len(looks)}, {spent / whole:.1%} of the FLOPs: {found.verdict or 'no verdict yet'}")
        if found.ended:
            break
        looks.append([one.trial_id for one in found.chosen])
        spent += sum(one.flops for one in found.chosen)
    print(f"ended: {found.ended}")
    print(f"all points: {decide(table, flops=flops)}")


def run_race(seed, noise=NOISE):
    """Run one race to its end; also rank at one size with the FLOPs of each look."""
    start, world = time.perf_counter(), make_world(seed, noise_range=noise)
    settings = RaceSettings(flops=world.flops, delta=DELTA, error=ERROR, budget=BUDGET * world.full_cost)
    truth, known = world.truth, {one.trial_id: one for one in world.candidates}
    looks, seen = [], []
    while True:
        taken = [trial for look in looks for trial in look]
        found = race_round(world.candidates, looks, world.points(taken) if taken else None, settings)
        if found.verdict is not None:
            spent = sum(known[trial].flops for trial in taken) / world.full_cost
            seen.append(judged(found.verdict, truth, spent) | {"ranked": regret(truth, ranked(world, spent))})
        if found.ended or len(looks) >= MOST_ROUNDS:
            break
        looks.append([one.trial_id for one in found.chosen])
    grid = world.points(world.full_grid)
    whole = decide(grid, flops=world.flops, delta=DELTA, error=ERROR)
    gaps = sorted(truth.values())
    return {
        "seed": seed,
        "families": len(truth),
        "crossing": world.crossing,
        "gap": gaps[1] / gaps[0] - 1,
        "ended": found.ended,
        "looks": seen,
        "whole": judged(whole, truth, 1.0),
        "runs": sum(map(len, looks)),
        "seconds": round(time.perf_counter() - start, 1),
    }


def judged(verdict, truth, spent):
    """What a look said, and whether it was right."""
    best = min(truth, key=truth.get)
    wrong_out = best in verdict.out
    unequal = verdict.kind == "equal" and max(regret(truth, name) for name in verdict.families) > DELTA
    return {
        "kind": verdict.kind,
        "wrong": bool(wrong_out or unequal),
        "spent": spent,
        "chosen": None if verdict.leader is None else regret(truth, verdict.leader),
        "out": len(verdict.out),
        "width": max((gap.high - gap.low for gap in verdict.pairs), default=None),
        "departure": max((departure(gap, truth) for gap in verdict.pairs), default=None),
    }


def departure(gap, truth):
    """How far a pair's true difference lies from its estimate, in distances to the end of its interval."""
    away = np.log(truth[gap.first] / truth[gap.second]) - np.log1p(gap.difference)
    end = gap.high if away > 0 else gap.low
    return float(abs(away / (np.log1p(end) - np.log1p(gap.difference))))


def regret(truth, name):
    """By how much a family's loss lies above the lowest, as a share; None for no family."""
    return None if name is None else truth[name] / min(truth.values()) - 1


def ranked(world, share):
    """The family with the lowest loss at one small size, each with an equal part of the same FLOPs.

    The size is the second smallest; a family's part buys the longest run that it pays, then more seeds of it.
    """
    part = share * world.full_cost / len(world.laws)
    losses = {}
    for name in world.laws:
        own = [one for one in world.candidates if one.family == name and one.size == "width=1"]
        fits = [one for one in own if one.flops <= part]
        if not fits:
            continue
        longest = max(one.flops for one in fits)
        runs = [one for one in fits if one.flops == longest][: int(part / longest)]
        points = world.points([one.trial_id for one in runs])
        last = len(runs[0].atoms)
        losses[name] = float(np.mean(np.log(points["loss"][last - 1 :: last])))
    return min(losses, key=losses.get) if losses else None


def at_budget(race, share, key):
    """What was chosen with at most a share of the full grid's FLOPs: the last look that it paid."""
    paid = [look[key] for look in race["looks"] if look["spent"] <= share]
    return paid[-1] if paid else None


def summarise(races):
    """Print the bars' figures."""
    last = [race["looks"][-1] for race in races if race["looks"]]
    decided = [look for look in last if look["kind"] != "undecided"]
    wrong = sum(look["wrong"] for look in decided)
    print(f"{len(races)} races, {np.mean([race['seconds'] for race in races]):.0f} s each")
    print(f"decided {len(decided)}, of them wrong {wrong} ({wrong / max(len(decided), 1):.1%})")
    for kind in ("best", "equal", "undecided"):
        print(f"  {kind}: {sum(look['kind'] == kind for look in last)}")
    spent = np.array([look["spent"] for look in decided])
    print(f"FLOPs of the decided races over the full grid's: median {np.median(spent):.1%}, largest {spent.max():.1%}")
    generator = np.random.default_rng(0)
    stopped = [race["looks"][int(generator.integers(len(race["looks"])))]["wrong"] for race in races if race["looks"]]
    print(f"wrong when stopped at a random look: {np.mean(stopped):.1%}")
    missed = [max(look["departure"] for look in race["looks"] if look["departure"]) > 1 for race in races]
    print(f"races with a pair's interval that misses the truth at any look: {np.mean(missed):.1%}")
    print(f"wrong at any look: {np.mean([any(look['wrong'] for look in race['looks']) for race in races]):.1%}")
    whole = [race["whole"] for race in races]
    told = [one for one in whole if one["kind"] != "undecided"]
    right = np.mean([one["chosen"] is not None and one["chosen"] <= DELTA for one in whole])
    print(
        f"decide on the full grid: decided {len(told)} of {len(whole)}, of them wrong "
        f"{np.mean([one['wrong'] for one in told]):.1%}; its leader within delta of the best in {right:.1%}"
    )
    for crossing in (False, True):
        part = [race for race in races if race["crossing"] == crossing]
        for share in SHARES:
            row = [[at_budget(race, share, key) for race in part] for key in ("chosen", "ranked")]
            right = [np.mean([one is not None and one <= DELTA for one in ones]) for ones in row]
            name = "crossing" if crossing else "no crossing"
            print(f"{name}, {share:.0%} of the FLOPs: right choice by race {right[0]:.0%}, by one size {right[1]:.0%}")


if __name__ == "__main__":
    main()
