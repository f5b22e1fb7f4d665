"""Does a learning rate tuned at a small width hold at large ones? The two checks that muP has to pass.

The transfer check, here, trains every width at a ladder of learning rates: under muP the best one, given at the base
width, is the same for all. The coordinate check (`coordinate_check`) follows the scale of every activation.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch

from raysweep.core.errors import DivergedError, SpaceError
from raysweep.core.trial import TrialSpec
from raysweep.data.store.store import Store, open_store
from raysweep.models.mup import rate_groups
from raysweep.sweep.tuning.coordinate_check import (
    COORDINATE_SEEDS,
    OUTPUTS,
    Scales,
    coordinate_check,
    in_processes,
    member,
)
from raysweep.training.build import build_base, build_model
from raysweep.training.loop import train


@dataclass(frozen=True, kw_only=True)
class TransferCheck:
    """The results of the two checks.

    Attributes:
        architecture: its name.
        base_width: the width that learning rates are given at.
        losses: by width, (learning rate, final validation losses of the seeds), infinite where training diverged.
        best: by width, the learning rate of the lowest loss, averaged over the seeds; None where no training ended.
        scales: activations by module, width and step; `energy` and `forces` are the network's outputs.
    """

    architecture: str
    base_width: int
    losses: Mapping[int, Sequence[tuple[float, Sequence[float]]]]
    best: Mapping[int, float | None]
    scales: Scales

    @property
    def drift(self) -> tuple[float, str]:
        """The largest ratio of an activation's scales between two widths at one step, and the module; outputs aside."""
        return max((_drift(of), name) for name, of in self.scales.items() if name not in OUTPUTS)

    @property
    def output_drift(self) -> float:
        """The largest ratio of an output's scales between two widths after the last step.

        Outputs are 1 / sqrt(width) at the start, by the rule of muP; what training makes of them is to be alike.
        """
        return max(_drift({w: s[-1:] for w, s in self.scales[name].items()}) for name in OUTPUTS)

    @property
    def shift(self) -> float | None:
        """The largest factor between the best rates of the base and of another width, None if one is missing."""
        rates = [rate for rate in self.best.values() if rate is not None]
        base = self.best[self.base_width]
        if base is None or len(rates) < len(self.best):
            return None
        return max(max(rate / base, base / rate) for rate in rates)

    def to_dict(self) -> dict[str, object]:
        """Return the results as plain values, for `--json`."""
        drift, module = self.drift
        return {
            "architecture": self.architecture,
            "base_width": self.base_width,
            "drift": drift,
            "drift_module": module,
            "output_drift": self.output_drift,
            "shift": self.shift,
            "best": dict(self.best),
            "losses": {w: [[rate, list(losses)] for rate, losses in rows] for w, rows in self.losses.items()},
            "scales": {name: {w: list(s) for w, s in of.items()} for name, of in self.scales.items()},
        }


def check_transfer(
    spec: TrialSpec,
    store: Store,
    *,
    rates: Sequence[float],
    widths: Sequence[int],
    coordinate_widths: Sequence[int],
    seeds: Sequence[int] = (0,),
    coordinate_seeds: Sequence[int] = range(COORDINATE_SEEDS),
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TransferCheck:
    """Train every width at every rate, find the best of each, and follow activations at the best rate of the base.

    Args:
        spec: a trajectory of the architecture; its `width` is the base, its seed and rate are replaced.
        store: the structures.
        rates: learning rates at the base width, ascending.
        widths: to train at; the base is added.
        coordinate_widths: to follow activations at; the base is added.
        seeds: losses are averaged over them (their logarithms).
        coordinate_seeds: activations are averaged over them (their logarithms).
        workers: processes, one thread each; the machine's cores by default.
        progress: called with the trainings done, those whose activations are followed among them, and their number.

    Raises:
        SpaceError: fewer than three rates, a size without `width`, or weights that muP knows no multiplier for.
    """
    if len(rates) < 3:
        raise SpaceError(f"{len(rates)} learning rates cannot show where the best one is; give at least 3.")
    if not isinstance(spec.size.get("width"), int):
        raise SpaceError(f"size {spec.size}: no `width`, which this check varies; give one.")
    base = int(spec.size["width"])
    trained = sorted({base, *widths})
    n_trained = len(trained) * len(rates) * len(seeds)
    n_jobs = n_trained + len({base, *coordinate_widths}) * len(coordinate_seeds)
    widest = member(spec, max(trained), seeds[0])
    rate_groups(build_model(widest, store), build_base(widest, store), f"architecture {spec.architecture!r}")

    def told(done: int) -> None:
        if progress is not None:
            progress(done, n_jobs)

    losses = _final_losses(spec, str(store.location), trained, rates, seeds, workers, told)
    best = {width: _best(rows) for width, rows in losses.items()}
    tuned = spec.model_copy(update={"learning_rate": best[base] or rates[0]})
    scales = coordinate_check(
        tuned,
        store,
        widths=coordinate_widths,
        seeds=coordinate_seeds,
        workers=workers,
        progress=lambda done, _: told(n_trained + done),
    )
    return TransferCheck(architecture=spec.architecture, base_width=base, losses=losses, best=best, scales=scales)


def _final_losses(
    spec: TrialSpec,
    location: str,
    widths: Sequence[int],
    rates: Sequence[float],
    seeds: Sequence[int],
    workers: int | None,
    progress: Callable[[int], object],
) -> dict[int, list[tuple[float, list[float]]]]:
    """Train every width at every rate and seed; return the final losses by width, as rows of (rate, losses)."""
    runs = list(product(widths, rates, seeds))
    jobs = [member(spec, width, seed).model_copy(update={"learning_rate": rate}) for width, rate, seed in runs]
    losses = dict(zip(runs, in_processes(_final_loss, jobs, location, workers, progress), strict=True))
    return {width: [(rate, [losses[width, rate, seed] for seed in seeds]) for rate in rates] for width in widths}


def _final_loss(spec: TrialSpec, location: str) -> float:
    torch.set_num_threads(1)
    try:
        return [point.loss for point in train(spec, open_store(location), device="cpu")][-1]
    except DivergedError:
        return math.inf


def mean_loss(losses: Sequence[float]) -> float:
    """Return the geometric mean over seeds, infinite where one diverged."""
    return math.exp(sum(map(math.log, losses)) / len(losses)) if all(map(math.isfinite, losses)) else math.inf


def _best(rows: Sequence[tuple[float, Sequence[float]]]) -> float | None:
    rate, losses = min(rows, key=lambda row: mean_loss(row[1]))
    return rate if math.isfinite(mean_loss(losses)) else None


def _drift(of: Mapping[int, Sequence[float]]) -> float:
    """Return the largest ratio between two widths at the same step."""
    scales = np.array(list(of.values()))
    return float((scales.max(axis=0) / np.maximum(scales.min(axis=0), 1e-30)).max())
