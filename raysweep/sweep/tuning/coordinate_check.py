"""The coordinate check of muP (arXiv 2203.03466, appendix D.1): activations keep their scale at every width.

It follows the scale of every activation over the first steps of training at several widths; under muP that does not
depend on the width.
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from raysweep.core.trial import TrialSpec
from raysweep.data.store.store import Store, open_store
from raysweep.models.randomness import IsolatedState
from raysweep.sweep.plan.costs import set_threads
from raysweep.training.cost.measure import Stopwatch
from raysweep.training.trajectory import Trajectory

COORDINATE_STEPS = 20
COORDINATE_SEEDS = 16
"""Of a narrow network with products of features, one seed's activations lie a factor 2.7 from another's."""

OUTPUTS = ("energy", "forces")

Found = TypeVar("Found")

Scales = Mapping[str, Mapping[int, Sequence[float]]]
"""Root mean square of each module's output, by module, width, and step 0 ... n."""


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
    """Measure the scale of every activation on one batch, before each of the first steps and after the last.

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
        member(spec, width, seed).model_copy(update={"epochs": float(steps)})
        for width in sorted({base, *widths})
        for seed in seeds
    ]
    followed = in_processes(
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
    """Measure the mean squares of activations before each step and after the last, by module."""
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
    """Measure the mean square of the output of each module with weights on the first validation batch."""
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


def member(spec: TrialSpec, width: int, seed: int) -> TrialSpec:
    """Return the trajectory at another width and seed, its own width as muP's base."""
    return spec.model_copy(update={"size": {**spec.size, "width": width}, "base_size": dict(spec.size), "seed": seed})


def in_processes(
    call: Callable[[TrialSpec, str], Found],
    jobs: Sequence[TrialSpec],
    location: str,
    workers: int | None,
    progress: Callable[[int], object],
) -> list[Found]:
    """Call a function for each job, with the store's location, in processes of one thread each, or in this one."""
    count = workers or len(os.sched_getaffinity(0))
    if count == 1:
        found = []
        for done, job in enumerate(jobs, start=1):
            found.append(call(job, location))
            progress(done)
        return found
    # The largest first, so that the tail is short.
    order = sorted(range(len(jobs)), key=lambda index: -int(jobs[index].size["width"]))
    with ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=set_threads, initargs=(1,)) as pool:
        futures = {index: pool.submit(call, jobs[index], location) for index in order}
        try:
            for done, future in enumerate(as_completed(futures.values()), start=1):
                future.result()
                progress(done)
        finally:
            pool.shutdown(cancel_futures=True)  # the error is raised now, not after all other jobs
        return [futures[index].result() for index in range(len(jobs))]
