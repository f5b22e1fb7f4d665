"""Training of one trajectory: a spec and a store go in, points come out. No Ray, no MLflow."""

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from raysweep.data.batches import Batch, GraphSet, cut_batches, epoch_order, load_graphs
from raysweep.data.store import Store, open_store
from raysweep.errors import DataError, DivergedError
from raysweep.measurements import Point
from raysweep.models.base import ForceField, Surroundings
from raysweep.models.registry import check_size, create
from raysweep.models.width_scaling import rate_groups
from raysweep.training.checkpoint import Checkpoint, newest, save
from raysweep.training.cost import Cost, Stopwatch, measure_cost
from raysweep.training.objective import Errors, Objective, evaluate
from raysweep.training.optimizers import Optimizer
from raysweep.trial import TrialSpec

CHECKPOINT_SECONDS = 60.0
VALIDATION_BATCH_ATOMS = 1024
COST_SAMPLE = 64
"""Structures at the head of the subset on which the cost of a step is counted."""


@dataclass(kw_only=True)
class Progress:
    """Where a trajectory stands: position in the data and what was seen, summed and averaged so far."""

    epoch: int = 0
    visited: int = 0
    """structures of the current epoch's order that were visited"""
    step: int = 0
    structures: float = 0.0
    atoms: float = 0.0
    edges: float = 0.0
    triplets: float = 0.0
    seconds: float = 0.0
    loss_sum: float = 0.0
    norm_sum: float = 0.0
    steps_since_point: int = 0


class Trajectory:
    """The state of one training run: model, optimizer, data and progress."""

    def __init__(self, spec: TrialSpec, store: Store, device: torch.device) -> None:
        if store.manifest.fingerprint != spec.fingerprint:
            raise DataError(
                f"store {store.location}: its fingerprint is {store.manifest.fingerprint}, the trial {spec.trial_id} "
                f"was planned for {spec.fingerprint}. Point `data.store` at the store that the sweep was planned with."
            )
        self.spec, self.device = spec, device
        self.dtype = getattr(torch, spec.precision)
        cutoff = check_size(spec.architecture, spec.size).cutoff
        location = str(store.location)
        self.graphs = _graphs(location, spec.fingerprint, "train", spec.structures, cutoff)
        validation = _graphs(location, spec.fingerprint, "validation", spec.validation_structures, cutoff)
        self.validation = self._validation_batches(validation)
        self.objective = _objective(spec, store)
        self.model = build_model(spec, store).to(device)
        self.optimizer = Optimizer(rate_groups(self.model, build_base(spec, store)), spec.learning_rate, spec.optimizer)
        self.cost = _cost(self.model, self.graphs, self.objective, spec)
        self.progress = Progress()
        self.trivial_loss = evaluate(None, self.validation, self.objective).loss
        self._stream: Iterator[tuple[npt.NDArray[np.int64], Batch]] = iter(())
        self._stream_position: tuple[int, int] | None = None

    def _validation_batches(self, graphs: GraphSet) -> list[Batch]:
        rows = cut_batches(graphs.structures.n_atoms, np.arange(len(graphs)), VALIDATION_BATCH_ATOMS)
        return [graphs.batch(r).to(self.device, self.dtype) for r in rows]

    @property
    def flops(self) -> float:
        """Training operations so far."""
        p = self.progress
        return self.cost.flops(p.step, p.structures, p.atoms, p.edges, p.triplets)

    @property
    def finished(self) -> bool:
        """Whether all passes over the subset are done."""
        return self.progress.epoch * self.spec.structures + self.progress.visited >= self._total_visits

    @property
    def _total_visits(self) -> int:
        return round(self.spec.epochs * self.spec.structures)

    def step(self, watch: Stopwatch) -> None:
        """Train on the next batch.

        Raises:
            DivergedError: loss or gradient left the finite numbers.
        """
        p = self.progress
        rows, batch = self._next_batch()
        watch.start()
        loss = self.objective.loss(self.model(batch), batch)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = self.optimizer.step()
        watch.stop()
        p.visited += len(rows)
        p.step += 1
        p.steps_since_point += 1
        p.structures += len(rows)
        p.atoms += len(batch.numbers)
        p.edges += len(batch.senders)
        if self.model.triplets:
            p.triplets += float(self.graphs.n_triplets[rows].sum())
        value = float(loss.detach())
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise DivergedError(
                f"trial {self.spec.trial_id} diverged at step {p.step}: loss {value}, gradient norm {norm}, learning "
                f"rate {self.spec.learning_rate}. Use a smaller learning rate."
            )
        p.loss_sum += value
        p.norm_sum += norm
        if p.visited >= self.spec.structures:
            p.epoch, p.visited = p.epoch + 1, 0
        self._stream_position = (p.epoch, p.visited) if p.visited else None

    def _next_batch(self) -> tuple[npt.NDArray[np.int64], Batch]:
        """Return the batch at the present position, from a stream that begins anew wherever the position was set."""
        p = self.progress
        if self._stream_position != (p.epoch, p.visited):
            order = epoch_order(self.spec.structures, self.spec.seed, p.epoch)
            left = self._total_visits - p.epoch * self.spec.structures
            self._stream = self.graphs.batches(order[p.visited : left], self.spec.batch_atoms, self.device, self.dtype)
        return next(self._stream)

    def point(self, budget: float, kind: str, errors: Errors) -> Point:
        """Return the measurement at the present step."""
        p, spec = self.progress, self.spec
        since = max(p.steps_since_point, 1)
        return Point(
            trial_id=spec.trial_id,
            architecture=spec.architecture,
            size=json.dumps(dict(spec.size), sort_keys=True),
            seed=spec.seed,
            learning_rate=spec.learning_rate,
            step=p.step,
            budget=budget,
            budget_kind=kind,
            params=self.cost.params,
            data=p.atoms,
            unique_data=min(p.atoms, float(self.graphs.structures.n_atoms.sum())),
            structures=p.structures,
            edges=p.edges,
            flops=self.flops,
            seconds=p.seconds,
            device=device_name(self.device),
            loss=errors.loss,
            energy_mae=errors.energy_mae,
            force_l2=errors.force_l2,
            trivial_loss=self.trivial_loss,
            train_loss=p.loss_sum / since,
            gradient_norm=p.norm_sum / since,
        )

    def evaluate(self) -> Errors:
        """Return the errors on the validation set, with the optimizer's averaged weights."""
        self.optimizer.eval()
        self.model.eval()
        errors = evaluate(self.model, self.validation, self.objective)
        if not math.isfinite(errors.loss):
            raise DivergedError(
                f"trial {self.spec.trial_id}: validation loss {errors.loss} at step {self.progress.step}."
            )
        return errors

    def resume_training(self) -> None:
        """Put model and optimizer back where gradients are taken."""
        self.model.train()
        self.optimizer.train()

    def checkpoint(self, points: list[Point]) -> Checkpoint:
        """Return all that `restore` needs to go on with the same bits."""
        state = self.optimizer.state()
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"optimizer.{name}": value for name, value in state["tensors"].items()}
        numbers = {"progress": self.progress.__dict__, "groups": state["groups"], "train_mode": state["train_mode"]}
        return Checkpoint(
            trial_id=self.spec.trial_id,
            step=self.progress.step,
            tensors=tensors,
            numbers=json.loads(json.dumps(numbers)),
            points=tuple(points),
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over a checkpoint of this trajectory."""
        parts: dict[str, dict[str, torch.Tensor]] = {"model": {}, "optimizer": {}}
        for name, value in checkpoint.tensors.items():
            part, key = name.split(".", 1)
            parts[part][key] = value
        numbers = dict(checkpoint.numbers)
        self.model.load_state_dict(parts["model"])
        self.optimizer.load(
            {"tensors": parts["optimizer"], "groups": numbers["groups"], "train_mode": bool(numbers["train_mode"])}  # type: ignore[typeddict-item]
        )
        self.progress = Progress(**numbers["progress"])  # type: ignore[arg-type]


def train(
    spec: TrialSpec,
    store: Store,
    *,
    checkpoints: str | None = None,
    device: str | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> Iterator[Point]:
    """Train one trajectory and yield a point at each of its budgets, in the order in which they are reached.

    On a CPU the points are the same to the last bit (`seconds` aside) whether or not the run was interrupted.

    Args:
        spec: the trajectory.
        store: the structures; its fingerprint must be the spec's.
        checkpoints: folder for checkpoints, written after each point and every `checkpoint_seconds`. Where a whole one
            is there already, the points that it carries are yielded first and training goes on from it.
        device: `cpu`, `cuda`, ...; a GPU where there is one by default.
        checkpoint_seconds: seconds between checkpoints.

    Raises:
        DivergedError: the loss left the finite numbers; the points yielded before stand.
        DataError: the store is not the one that the spec was made for, or holds too few structures.
        SpaceError: architecture or size are unknown.
    """
    run = Trajectory(spec, store, torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")))
    points: list[Point] = []
    if checkpoints is not None:
        found, _ = newest(checkpoints, spec.trial_id)
        if found is not None:
            run.restore(found)
            points = list(found.points)
            yield from points
    done = {(point.budget_kind, point.budget) for point in points}
    pending = [("data", b) for b in spec.data_budgets] + [("flops", b) for b in spec.flops_budgets]
    pending = [item for item in pending if item not in done]
    watch = Stopwatch(run.device, run.progress.seconds)
    saved = time.monotonic()
    run.resume_training()
    while pending and not run.finished:
        run.step(watch)
        reached = [(k, b) for k, b in pending if (run.progress.atoms if k == "data" else run.flops) >= b]
        due = checkpoints is not None and time.monotonic() - saved > checkpoint_seconds
        if not reached and not due:
            continue
        run.progress.seconds = watch.seconds
        if reached:
            errors = run.evaluate()
            new = [run.point(budget, kind, errors) for kind, budget in sorted(reached, key=lambda item: item[::-1])]
            points += new
            pending = [item for item in pending if item not in reached]
            run.progress = replace(run.progress, loss_sum=0.0, norm_sum=0.0, steps_since_point=0)
        if checkpoints is not None:
            save(checkpoints, run.checkpoint(points))
            saved = time.monotonic()
        if reached:
            yield from new
            run.resume_training()


def build_model(spec: TrialSpec, store: Store) -> ForceField:
    """Return the force field of a spec with its initial weights, on the CPU."""
    return create(
        spec.architecture, spec.size, spec.forces, _surroundings(store), spec.seed, getattr(torch, spec.precision)
    )


def build_base(spec: TrialSpec, store: Store) -> ForceField | None:
    """Return the member of the family at which the learning rate was tuned, None without muP."""
    if spec.base_size is None:
        return None
    return create(spec.architecture, spec.base_size, spec.forces, _surroundings(store), spec.seed)


def measure(spec: TrialSpec, store: Store) -> Cost:
    """Return what training the spec's model costs, counted on the head of its subset on this machine's CPU."""
    cutoff = check_size(spec.architecture, spec.size).cutoff
    n = min(COST_SAMPLE, spec.structures)
    graphs = _graphs(str(store.location), spec.fingerprint, "train", n, cutoff)
    return measure_cost(build_model(spec, store), graphs, _objective(spec, store), spec.batch_atoms)


def device_name(device: torch.device) -> str:
    """Return the accelerator's name, or `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _surroundings(store: Store) -> Surroundings:
    manifest = store.manifest
    return Surroundings(elements=tuple(sorted(manifest.reference_energies)), scale=manifest.rms_force)


def _objective(spec: TrialSpec, store: Store) -> Objective:
    return Objective(
        rms_energy=store.manifest.rms_energy,
        rms_force=store.manifest.rms_force,
        energy_weight=spec.energy_weight,
        force_weight=spec.force_weight,
    )


def _cost(model: ForceField, graphs: GraphSet, objective: Objective, spec: TrialSpec) -> Cost:
    head = _graphs_head(graphs, min(COST_SAMPLE, spec.structures))
    return measure_cost(model, head, objective, spec.batch_atoms)


def _graphs_head(graphs: GraphSet, n: int) -> GraphSet:
    structures = graphs.structures.head(n)
    n_edges = int(graphs.graphs.n_edges[:n].sum())
    shifts = graphs.graphs.shifts
    head = replace(
        graphs.graphs,
        senders=graphs.graphs.senders[:n_edges],
        receivers=graphs.graphs.receivers[:n_edges],
        shifts=None if shifts is None else shifts[:n_edges],
        n_edges=graphs.graphs.n_edges[:n],
    )
    return GraphSet(structures=structures, graphs=head)


@lru_cache(maxsize=4)
def _graphs(location: str, fingerprint: str, part: str, n: int, cutoff: float) -> GraphSet:
    """Graphs of a part of a store, kept while one process trains many trials on it; the fingerprint is a key."""
    store = open_store(location)
    rows = store.subset(n) if part == "train" else store.validation(n)
    return load_graphs(store, rows, cutoff)
