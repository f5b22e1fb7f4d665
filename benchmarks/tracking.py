"""What MLflow costs a sweep: seconds to write, to heal, to check and to read back trials.

python benchmarks/tracking.py --trials 64 --points 8                       # SQLite
python benchmarks/tracking.py --uri http://127.0.0.1:5000 --trials 1000    # a server that runs
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable

from raysweep.core.points import Point
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.tracking.mlflow import MlflowMirror, TrialView, default_uri, read_points, sync


def make_trials(count: int, points: int) -> list[TrialView]:
    """Return trials of a grid with all columns of a force field's points filled."""
    return [_trial(index, points) for index in range(count)]


def _trial(index: int, points: int) -> TrialView:
    spec = TrialSpec(
        architecture="mpnn",
        size={"width": 16 + index, "depth": 3, "cutoff": 5.0},
        fingerprint="0" * 64,
        structures=8000,
        learning_rate=0.01 / 3,
        seed=index,
    )
    measured = {
        name: 1 / (3 + index)
        for name in ("loss", "energy_mae", "force_l2", "trivial_loss", "train_loss", "gradient_norm")
    }
    rows = [
        Point(
            trial_id=spec.trial_id,
            architecture="mpnn",
            size=json.dumps(spec.size, sort_keys=True),
            seed=spec.seed,
            learning_rate=spec.learning_rate,
            step=10 * 2**i,
            budget=100.0 * 2**i,
            budget_kind="data",
            params=10_000 + index,
            data=103.0 * 2**i,
            unique_data=103.0 * 2**i,
            structures=10.0 * 2**i,
            edges=1007.0 * 2**i,
            flops=1e9 / 3 * 2**i,
            seconds=0.1 * 2**i,
            device="cpu",
            **{name: value / 2**i for name, value in measured.items()},
        )
        for i in range(points)
    ]
    params = {key: json.dumps(value) for key, value in spec.model_dump(mode="json").items() if key != "size"}
    return TrialView(
        trial_id=spec.trial_id,
        serves=(("grid", "mpnn"),),
        state=TrialState.DONE,
        points=rows,
        params=params | {f"size.{key}": str(value) for key, value in spec.size.items()},
        tags={"raysweep.fingerprint": spec.fingerprint},
        started=time.time(),
        ended=time.time(),
    )


def timed(action: Callable[[], object]) -> float:
    """Return the seconds that an action takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def mirror_all(trials: list[TrialView], place: dict[str, str]) -> tuple[float, float]:
    """Tell a mirror of all trials as fast as it listens; return seconds of telling, and until all is in MLflow."""
    mirror = MlflowMirror(place["tracking_uri"], f"{place['experiment']}-live", place["sweep_name"])

    def tell() -> None:
        for trial in trials:
            mirror.trial_started(trial.trial_id, "mpnn", "grid", dict(trial.params), dict(trial.tags))
            for point in trial.points:
                mirror.point(trial.trial_id, point)
            mirror.trial_ended(trial.trial_id, trial.state, None)

    told = timed(tell)
    return told, told + timed(lambda: mirror.close(timeout=3600))


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--points", type=int, default=8)
    parser.add_argument("--uri", help="tracking URI; default: a SQLite file made for this")
    options = parser.parse_args()
    trials = make_trials(options.trials, options.points)
    with tempfile.TemporaryDirectory() as folder:
        uri = options.uri or default_uri(folder)
        place = {"tracking_uri": uri, "experiment": f"benchmark-{time.time_ns()}", "sweep_name": "benchmark"}
        seconds = {"import_and_connect": timed(lambda: sync([], **{**place, "experiment": place["experiment"] + "-0"}))}
        seconds["write"] = timed(lambda: sync(trials, **place))
        seconds["check"] = timed(lambda: sync(trials, **place))
        seconds["read"] = timed(lambda: read_points(place["experiment"], uri))
        seconds["mirror_told"], seconds["mirror_closed"] = mirror_all(trials, place)
        assert sync(trials, **place).equal
        assert read_points(place["experiment"], uri).equals(read_points(f"{place['experiment']}-live", uri))
        assert read_points(place["experiment"], uri).num_rows == options.trials * options.points
    print(
        json.dumps({"trials": options.trials, "points": options.points, **{k: round(v, 3) for k, v in seconds.items()}})
    )


if __name__ == "__main__":
    main()
