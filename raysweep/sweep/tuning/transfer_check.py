"""Does a learning rate tuned at a small width hold at large ones? The two checks that muP has to pass.

The coordinate check (arXiv 2203.03466, appendix D.1) follows the scale of every activation over the first steps at
several widths: under muP it does not depend on the width. The transfer check trains every width at a ladder of learning
rates: under muP the best one, given at the base width, is the same for all.
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from raysweep.core.errors import DivergedError, SpaceError
from raysweep.core.trial import TrialSpec
from raysweep.data.store.store import Store, open_store
from raysweep.models.mup import rate_groups
from raysweep.models.randomness import IsolatedState
from raysweep.sweep.plan.costs import set_threads
from raysweep.training.build import build_base, build_model
from raysweep.training.cost.measure import Stopwatch
from raysweep.training.loop import train
from raysweep.training.trajectory import Trajectory

COORDINATE_STEPS = 20
COORDINATE_SEEDS = 16
"""Of a narrow network with products of features, one seed's activations lie a factor 2.7 from another's."""

OUTPUTS = ("energy", "forces")

Found = TypeVar("Found")

Scales = Mapping[str, Mapping[int, Sequence[float]]]
"""Root mean square of what each module puts out, by module, width, and step 0 ... n."""


@dataclass(frozen=True, kw_only=True)
class TransferCheck:
    """What the two checks found.

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
        """Return all of it as plain values, for `--json`."""
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
    """Train every width at every rate, take the best of each, then follow activations at the base's best rate.

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
        raise SpaceError(f"size {spec.size}: no `width`, and that is what is varied. Give one.")
    base = int(spec.size["width"])
    trained = sorted({base, *widths})
    jobs = [
        _member(spec, width, seed).model_copy(update={"learning_rate": rate})
        for width in trained
        for rate in rates
        for seed in seeds
    ]
    n_jobs = len(jobs) + len({base, *coordinate_widths}) * len(coordinate_seeds)
    widest = _member(spec, max(trained), seeds[0])
    rate_groups(build_model(widest, store), build_base(widest, store), f"architecture {spec.architecture!r}")
    location = str(store.location)
    final = _in_processes(_final_loss, jobs, location, workers, lambda done: progress and progress(done, n_jobs))
    losses = {
        (int(job.size["width"]), job.learning_rate, job.seed): loss for job, loss in zip(jobs, final, strict=True)
    }
    found: dict[int, list[tuple[float, list[float]]]] = {width: [] for width in trained}
    for width in trained:
        for rate in rates:
            found[width].append((rate, [losses[width, rate, seed] for seed in seeds]))
    best = {width: _best(rows) for width, rows in found.items()}
    tuned = spec.model_copy(update={"learning_rate": best[base] or rates[0]})
    scales = coordinate_check(
        tuned,
        store,
        widths=coordinate_widths,
        seeds=coordinate_seeds,
        workers=workers,
        progress=lambda done, _: progress and progress(len(jobs) + done, n_jobs),
    )
    return TransferCheck(architecture=spec.architecture, base_width=base, losses=found, best=best, scales=scales)


def coordinate_check(
    spec: TrialSpec,
    store: Store,
    *,
    widths: Sequence[int],
    steps: int = COORDINATE_STEPS,
    seeds: Sequence[int] = range(COORDINATE_SEEDS),
    workers: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Scales:
    """Return the scale of every activation on one batch before each of the first steps and after the last.

    Root mean squares over the elements, geometric means over seeds: a narrow network's weights are few, and products of
    features amplify how much they happen to differ from their distribution.

    Args:
        spec: a trajectory, warm-up included; its `width` is the base.
        store: the structures.
        widths: to follow; the base is added.
        steps: of training.
        seeds: of weights and order.
        workers: processes, one thread each; the machine's cores by default.
        progress: called with the networks followed and their number.
    """
    base = int(spec.size["width"])
    # As many passes as steps: so many steps there are in any case.
    jobs = [
        _member(spec, width, seed).model_copy(update={"epochs": float(steps)})
        for width in sorted({base, *widths})
        for seed in seeds
    ]
    followed = _in_processes(
        partial(_follow, steps=steps),
        jobs,
        str(store.location),
        workers,
        lambda done: progress and progress(done, len(jobs)),
    )
    logarithms: dict[str, dict[int, list[list[float]]]] = {}
    for job, squares in zip(jobs, followed, strict=True):
        for name, of in squares.items():
            rows = logarithms.setdefault(name, {}).setdefault(int(job.size["width"]), [])
            rows.append([0.5 * math.log(max(square, 1e-60)) for square in of])
    return {
        name: {width: np.exp(np.mean(rows, axis=0)).tolist() for width, rows in of.items()}
        for name, of in logarithms.items()
    }


def _follow(spec: TrialSpec, location: str, steps: int) -> dict[str, list[float]]:
    """Return the mean squares of activations before each step and after the last, by module."""
    with IsolatedState():
        run = Trajectory(spec, open_store(location), torch.device("cpu"))
        run.resume_training()
        found = {name: [square] for name, square in _squares(run).items()}
        for _ in range(steps):
            run.step(Stopwatch(run.device))
            for name, square in _squares(run).items():
                found[name].append(square)
    return found


def _squares(run: Trajectory) -> dict[str, float]:
    """Return the mean square of what each module with weights puts out on the first validation batch."""
    found: dict[str, list[torch.Tensor]] = {}
    with _watched(run.model, found):
        prediction = run.model(run.validation[0])
    found |= {"energy": [prediction.energy.detach()], "forces": [prediction.forces.detach()]}
    return {name: float(torch.cat([x.flatten() for x in of]).square().mean()) for name, of in found.items()}


@contextmanager
def _watched(model: nn.Module, found: dict[str, list[torch.Tensor]]) -> Iterator[None]:
    def hook(name: str) -> Callable[[nn.Module, object, object], None]:
        def keep(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, torch.Tensor):
                found.setdefault(name, []).append(output.detach())

        return keep

    handles = [
        module.register_forward_hook(hook(name))
        for name, module in model.named_modules()
        if any(True for _ in module.parameters(recurse=False)) and not _is_readout(model, name)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _is_readout(model: nn.Module, name: str) -> bool:
    """Whether a module's output does not widen with the model: it is an output, and those are watched as such."""
    weight = getattr(model.get_submodule(name), "weight", None)
    return isinstance(weight, torch.Tensor) and weight.dim() > 1 and min(weight.shape[-2:]) <= 3


def _member(spec: TrialSpec, width: int, seed: int) -> TrialSpec:
    return spec.model_copy(update={"size": {**spec.size, "width": width}, "base_size": dict(spec.size), "seed": seed})


def _in_processes(
    call: Callable[[TrialSpec, str], Found],
    jobs: Sequence[TrialSpec],
    location: str,
    workers: int | None,
    progress: Callable[[int], object],
) -> list[Found]:
    """Return what `call` makes of each job and the store's location, in processes of one thread each, or in this."""
    if workers == 1:
        found = []
        for done, job in enumerate(jobs, start=1):
            found.append(call(job, location))
            progress(done)
        return found
    count = workers or len(os.sched_getaffinity(0))
    # The largest first, so that the tail is short.
    order = sorted(range(len(jobs)), key=lambda index: -int(jobs[index].size["width"]))
    with ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=set_threads, initargs=(1,)) as pool:
        futures = {index: pool.submit(call, jobs[index], location) for index in order}
        try:
            for done, future in enumerate(as_completed(futures.values()), start=1):
                future.result()
                progress(done)
        finally:
            pool.shutdown(cancel_futures=True)  # what went wrong is told now, not after all others
        return [futures[index].result() for index in range(len(jobs))]


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
