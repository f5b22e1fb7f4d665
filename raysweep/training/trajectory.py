"""The state of one training run, and the steps that change it."""

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch

from raysweep.core.errors import DataError, DivergedError
from raysweep.core.hashing import size_json
from raysweep.core.points import Point
from raysweep.core.trial import TrialSpec
from raysweep.data.graphs.batches import Batch, GraphSet, cut_batches, epoch_order
from raysweep.data.store.store import Store
from raysweep.models.mup import rate_groups
from raysweep.models.randomness import EVALUATION, STEP, generators_of, reseed
from raysweep.models.registry import check_size
from raysweep.training.build import build_base, build_model, cost_of, graphs_of, objective
from raysweep.training.checkpoint import Checkpoint
from raysweep.training.cost.measure import Stopwatch
from raysweep.training.device.compilation import CompiledStep, check_compiler, check_compiles, plain_step
from raysweep.training.device.devices import device_name, together
from raysweep.training.device.memory import keep_freed_memory, peak_memory
from raysweep.training.device.precision import check_precision, mixed, tf32_products, weight_dtype
from raysweep.training.hidden_state import Kept
from raysweep.training.objective import Errors, Objective, Predictor, evaluate
from raysweep.training.optimizers import decay_factor, make_optimizer
from raysweep.training.prefetch import ahead
from raysweep.training.symmetry import (
    check_symmetry,
    epoch_rotations,
    equivariance_error,
    frame_averaged,
    step_objective,
    turned,
)

Budget = tuple[str, float]
"""Kind, `data` (atoms) or `flops`, and amount."""

VALIDATION_BATCH_ATOMS = 1024


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
    atoms_at_point: float = 0.0
    seconds_at_point: float = 0.0

    def marked(self) -> "Progress":
        """Return the same progress, with the sums since the last point begun anew."""
        return replace(
            self,
            loss_sum=0.0,
            norm_sum=0.0,
            steps_since_point=0,
            atoms_at_point=self.atoms,
            seconds_at_point=self.seconds,
        )


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All that a path of a trajectory needs to go on with the same bits: tensors by name, and plain numbers."""

    tensors: Mapping[str, torch.Tensor]
    numbers: Mapping[str, object]


class Trajectory:
    """The state of one training run: model, optimizer, data and progress.

    Attributes:
        target: the budget at which the learning rate arrives at 0; None where it is constant, or needs no schedule.
        trunk: with wsd, the path that the present branch left, and that is gone on with when the branch has ended.
        work: optimizer steps taken on all paths.
    """

    def __init__(self, spec: TrialSpec, store: Store, device: torch.device) -> None:
        if store.manifest.fingerprint != spec.fingerprint:
            raise DataError(
                f"store {store.location}: its fingerprint is {store.manifest.fingerprint}, the trial {spec.trial_id} "
                f"was planned for {spec.fingerprint}. Point `data.store` at the store that the sweep was planned with."
            )
        check_symmetry(spec.architecture, spec.size, spec.symmetry)
        check_precision(spec.precision, device)
        if spec.compile:
            check_compiles(spec.architecture)
            check_compiler(device)
        self.spec, self.device = spec, device
        self.dtype = weight_dtype(spec.precision)
        cutoff = check_size(spec.architecture, spec.size).cutoff
        location = str(store.location)
        self.graphs = graphs_of(location, spec.fingerprint, "train", spec.structures, cutoff)
        validation = graphs_of(location, spec.fingerprint, "validation", spec.validation_structures, cutoff)
        self.validation = self._validation_batches(validation)
        self.objective = objective(spec, store)
        self.model = build_model(spec, store).to(device)
        self._generators = generators_of(self.model)
        self._kept = Kept(self.model)
        groups = rate_groups(self.model, build_base(spec, store), f"architecture {spec.architecture!r}")
        self.optimizer = make_optimizer(groups, spec.learning_rate, spec.optimizer)
        self.cost = cost_of(self.model, self.graphs, self.objective, spec, store)
        self.compiled = CompiledStep(self.model, self._loss, self.optimizer.parameters) if spec.compile else None
        self.predict: Predictor = frame_averaged(self.model) if spec.symmetry.frames else self.model
        self.progress = Progress()
        self.device_names = device_name(device)
        self.work = 0
        self.budgets: list[Budget] = [("data", b) for b in spec.data_budgets] + [
            ("flops", b) for b in spec.flops_budgets
        ]
        self.target: Budget | None = None
        self.trunk: Snapshot | None = None
        if spec.optimizer.name != "schedulefree_adamw":
            self._plan_decay()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            keep_freed_memory()
        self.trivial_loss = evaluate(None, self.validation, self.objective).loss
        self._stream: Iterator[tuple[npt.NDArray[np.int64], Batch]] = iter(())
        self._stream_position: tuple[int, int] | None = None
        self._turns: tuple[int, npt.NDArray[np.float64]] = (-1, np.empty(0))

    def _validation_batches(self, graphs: GraphSet) -> list[Batch]:
        rows = cut_batches(graphs.n_atoms, np.arange(len(graphs)), VALIDATION_BATCH_ATOMS)
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

    def _plan_decay(self) -> None:
        """Keep the budgets that the data lasts for, since a decay has to end; cosine: decay to the last of them."""
        ends = {"data": 0.0, "flops": 0.0}
        sizes, graphs = self.graphs.n_atoms, self.graphs
        for epoch in range(math.ceil(self._total_visits / self.spec.structures)):
            rows = self._order(epoch)
            steps = sum(1 for _ in cut_batches(sizes, rows, self.spec.batch_atoms))
            atoms, edges = float(sizes[rows].sum()), float(graphs.n_edges[rows].sum())
            triplets = float(graphs.n_triplets[rows].sum()) if self.model.triplets else 0.0
            ends["data"] += atoms
            ends["flops"] += self.cost.flops(steps, len(rows), atoms, edges, triplets)
        if self.spec.optimizer.name == "wsd" or not self.budgets:
            self.budgets = [(kind, amount) for kind, amount in self.budgets if amount <= ends[kind]]
            return
        self.target = max(self.budgets)
        kind, amount = self.target
        if amount > ends[kind]:
            raise DataError(
                f"trial {self.spec.trial_id}: {kind} budget {amount:g} is beyond the {ends[kind]:g} that "
                f"{self.spec.structures} structures in {self.spec.epochs:g} epochs give, and the rate of optimizer "
                "cosine is to fall to 0 at it; ask for less, or for more structures."
            )

    def spent(self, kind: str) -> float:
        """Return what counts towards budgets of a kind, on the present path."""
        return self.progress.atoms if kind == "data" else self.flops

    def reached(self, pending: Sequence[Budget]) -> list[Budget]:
        """Return the budgets at which the present path is to be evaluated now."""
        if self.spec.optimizer.name == "wsd":
            pending = [self.target] if self.target else []
        return [(kind, amount) for kind, amount in pending if self.spent(kind) >= amount]

    def branch_off(self, pending: Sequence[Budget], watch: Stopwatch) -> None:
        """With wsd, on the trunk, where the decay to a budget begins: keep the trunk, and go on with that branch."""
        if self.spec.optimizer.name != "wsd" or self.target is not None:
            return
        due = [(kind, amount) for kind, amount in pending if self.spent(kind) >= self._decay_begins(amount)]
        if due:
            self.target = min(due, key=lambda budget: (budget[1], budget[0]))
            self.progress.seconds = watch.seconds
            self.trunk = self.snapshot(self.progress.marked())

    def leave_branch(self, done: Collection[Budget]) -> None:
        """Go back to the trunk, if this is a branch and its point is done."""
        if self.trunk is not None and self.target in done:
            self.load(self.trunk)
            self.trunk = self.target = None

    def _decay_begins(self, amount: float) -> float:
        return 0.0 if self.spec.optimizer.name == "cosine" else (1 - self.spec.optimizer.decay_share) * amount

    @property
    def _decay(self) -> float:
        """Factor of the learning rate at the next step, besides warm-up."""
        if self.target is None:
            return 1.0
        kind, amount = self.target
        begins = self._decay_begins(amount)
        return decay_factor(self.spec.optimizer, (self.spent(kind) - begins) / (amount - begins))

    def step(self, watch: Stopwatch) -> None:
        """Train on the next batch.

        Raises:
            DivergedError: loss or gradient left the finite numbers.
        """
        p = self.progress
        rows, batch = self._next_batch()
        symmetry, seed, decay = self.spec.symmetry, self.spec.seed, self._decay
        if symmetry.augment:
            batch = turned(batch, torch.from_numpy(self._turns_of(p.epoch)[rows]).to(batch.positions))
        objective = step_objective(self.objective, symmetry, self.model, seed, p.step, batch.positions)
        with tf32_products(self.spec.precision):
            if self.compiled is not None:
                self.compiled.prepare(objective, batch)
            self._reseed(STEP)
            watch.start()
            loss = self._gradients(objective, batch)
        norm = self.optimizer.step(decay)
        watch.stop()
        self.work += 1
        p.visited += len(rows)
        p.step += 1
        p.steps_since_point += 1
        p.structures += len(rows)
        p.atoms += len(batch.numbers)
        p.edges += len(batch.senders)
        if self.model.triplets:
            p.triplets += batch.n_triplets
        value = float(loss)
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

    def _gradients(self, objective: Objective, batch: Batch) -> torch.Tensor:
        """Return the loss of a batch; its gradient is left in the weights."""
        if self.compiled is not None:
            return self.compiled(objective, batch)
        return plain_step(self._loss, self.optimizer.parameters, objective, batch)

    def _loss(self, objective: Objective, batch: Batch) -> torch.Tensor:
        with mixed(self.spec.precision, self.device):
            return objective.loss(self.model(batch), batch)

    def _reseed(self, stream: int) -> None:
        reseed(self.spec.seed, self.progress.step, stream, own=self._generators)

    def _next_batch(self) -> tuple[npt.NDArray[np.int64], Batch]:
        """Return the batch at the present position, from a stream that begins anew wherever the position was set."""
        p = self.progress
        if self._stream_position != (p.epoch, p.visited):
            rows = self._order(p.epoch)[p.visited :]
            groups = self.graphs.groups(rows, self.spec.batch_atoms, self.device, self.dtype)
            self._stream = chain.from_iterable(ahead(groups))
        return next(self._stream)

    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        """Return the structures that an epoch visits, in order; the last epoch may visit a part only."""
        order = epoch_order(self.spec.structures, self.spec.seed, epoch)
        return order[: self._total_visits - epoch * self.spec.structures]

    def _turns_of(self, epoch: int) -> npt.NDArray[np.float64]:
        if self._turns[0] != epoch:
            self._turns = (epoch, epoch_rotations(self.spec.structures, self.spec.seed, epoch))
        return self._turns[1]

    def point(self, budget: float, kind: str, errors: Errors, equivariance: float | None) -> Point:
        """Return the measurement at the present step."""
        p, spec = self.progress, self.spec
        steps, seconds = p.steps_since_point, p.seconds - p.seconds_at_point
        return Point(
            trial_id=spec.trial_id,
            architecture=spec.architecture,
            size=size_json(spec.size),
            seed=spec.seed,
            learning_rate=spec.learning_rate,
            step=p.step,
            budget=budget,
            budget_kind=kind,
            params=self.cost.params,
            data=p.atoms,
            unique_data=min(p.atoms, float(self.graphs.n_atoms.sum())),
            structures=p.structures,
            edges=p.edges,
            flops=self.flops,
            seconds=p.seconds,
            device=self.device_names,
            loss=errors.loss,
            energy_mae=errors.energy_mae,
            force_l2=errors.force_l2,
            trivial_loss=self.trivial_loss,
            train_loss=p.loss_sum / steps if steps else None,
            gradient_norm=p.norm_sum / steps if steps else None,
            throughput=(p.atoms - p.atoms_at_point) / seconds if seconds else None,
            equivariance_error=equivariance,
            peak_memory=peak_memory(self.device),
        )

    def points(self, reached: Sequence[Budget]) -> list[Point]:
        """Evaluate, and return a point for each budget, the smallest first."""
        errors = self.evaluate()
        self._reseed(EVALUATION)
        error = equivariance_error(self.predict, self.validation[0])
        return [
            self.point(amount, kind, errors, error) for kind, amount in sorted(reached, key=lambda budget: budget[::-1])
        ]

    def evaluate(self) -> Errors:
        """Return the errors on the validation set, with the weights and the precision that are evaluated."""
        self.optimizer.eval()
        self.model.eval()
        self._reseed(EVALUATION)
        errors = evaluate(self.predict, self.validation, self.objective)
        if not math.isfinite(errors.loss):
            raise DivergedError(
                f"trial {self.spec.trial_id}: validation loss {errors.loss} at step {self.progress.step}."
            )
        return errors

    def resume_training(self) -> None:
        """Put model and optimizer back where gradients are taken."""
        self.model.train()
        self.optimizer.train()

    def snapshot(self, progress: Progress) -> Snapshot:
        """Return a copy of weights, optimizer and position, with `progress` as where they stand."""
        state = self.optimizer.state()
        tensors = {f"model.{name}": value.clone() for name, value in self.model.state_dict().items()}
        tensors |= {f"optimizer.{name}": value.clone() for name, value in state["tensors"].items()}
        tensors |= {f"kept.{name}": value for name, value in self._kept.tensors().items()}
        numbers = {"progress": dict(progress.__dict__), "groups": state["groups"], "train_mode": state["train_mode"]}
        return Snapshot(tensors=tensors, numbers={**numbers, "kept": self._kept.numbers()})

    def load(self, snapshot: Snapshot) -> None:
        """Take over a snapshot of this trajectory."""
        parts: dict[str, dict[str, torch.Tensor]] = {"model": {}, "optimizer": {}, "kept": {}}
        for name, value in snapshot.tensors.items():
            part, key = name.split(".", 1)
            parts[part][key] = value
        numbers = dict(snapshot.numbers)
        self.model.load_state_dict(parts["model"])
        self._kept.load(parts["kept"], numbers.get("kept", {}))  # type: ignore[arg-type]
        self.optimizer.load(
            {"tensors": parts["optimizer"], "groups": numbers["groups"], "train_mode": bool(numbers["train_mode"])}  # type: ignore[typeddict-item]
        )
        self.progress = Progress(**numbers["progress"])  # type: ignore[arg-type]

    def checkpoint(self, points: Sequence[Point]) -> Checkpoint:
        """Return all that `restore` needs to go on with the same bits, the trunk that was left included."""
        here = self.snapshot(self.progress)
        tensors, numbers = dict(here.tensors), {**here.numbers, "target": self.target, "devices": self.device_names}
        if self.trunk is not None:
            tensors |= {f"trunk.{name}": value for name, value in self.trunk.tensors.items()}
            numbers["trunk"] = self.trunk.numbers
        return Checkpoint(
            trial_id=self.spec.trial_id,
            step=self.work,
            tensors=tensors,
            numbers=json.loads(json.dumps(numbers)),
            points=tuple(points),
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over a checkpoint of this trajectory."""
        here = {name: value for name, value in checkpoint.tensors.items() if not name.startswith("trunk.")}
        trunk = {name.removeprefix("trunk."): value for name, value in checkpoint.tensors.items() if name not in here}
        numbers = dict(checkpoint.numbers)
        trunk_numbers = numbers.pop("trunk", None)
        self.load(Snapshot(tensors=here, numbers=numbers))
        self.trunk = Snapshot(tensors=trunk, numbers=trunk_numbers) if isinstance(trunk_numbers, dict) else None
        self.device_names = together([str(numbers.get("devices", self.device_names)), self.device_names])
        target = numbers["target"]
        self.target = (str(target[0]), float(target[1])) if isinstance(target, list) else None
        self.work = checkpoint.step
