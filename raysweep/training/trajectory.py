"""One training run: the steps that change its state, its points and its checkpoints."""

import json
import math
from collections.abc import Collection, Sequence

import numpy as np
import torch

from raysweep.core.errors import DataError, DivergedError
from raysweep.core.hashing import size_json
from raysweep.core.points import Point
from raysweep.core.trial import TrialSpec
from raysweep.data.graphs.batches import Batch, GraphSet, split_batches
from raysweep.data.store.store import Store
from raysweep.models.mup import rate_groups
from raysweep.models.randomness import EVALUATION, STEP, generators_of, reseed
from raysweep.models.registry import check_size
from raysweep.training.budgets import Budget, Schedule, has_decay
from raysweep.training.build import build_base, build_model, cost_of, graphs_of, inference_of, objective
from raysweep.training.checkpoint import EVALUATED, Checkpoint
from raysweep.training.cost.inference import InferenceCost
from raysweep.training.cost.measure import Stopwatch
from raysweep.training.cursor import DataCursor
from raysweep.training.device.compilation import CompiledStep, check_compiler, check_compiles, plain_step
from raysweep.training.device.devices import device_name, together
from raysweep.training.device.memory import keep_freed_memory, peak_memory
from raysweep.training.device.precision import check_precision, mixed, tf32_products, weight_dtype
from raysweep.training.objective import Errors, Objective, Predictor, evaluate
from raysweep.training.optimizers import make_optimizer
from raysweep.training.state import ModelState, Snapshot, TrainingProgress
from raysweep.training.symmetry import check_symmetry, equivariance_error, frame_averaged, rotated, step_objective

VALIDATION_BATCH_ATOMS = 1024


class Trajectory:
    """The state of one training run: model, optimizer, data and progress.

    Attributes:
        schedule: the budgets and the learning rate on the way to them.
        trunk: on a branch of wsd, the state to return to when the branch has ended; None elsewhere.
        work: optimizer steps taken on all paths.
        inference: what inference with the network costs; nothing is known of it unless it was asked for.
    """

    def __init__(self, spec: TrialSpec, store: Store, device: torch.device, *, inference: bool = False) -> None:
        _check(spec, store, device)
        self.spec, self.device, self.dtype = spec, device, weight_dtype(spec.precision)
        self.device_names = device_name(device)
        cutoff = check_size(spec.architecture, spec.size).cutoff
        location = str(store.location)
        self.graphs = graphs_of(location, spec.fingerprint, "train", spec.structures, cutoff)
        validation = graphs_of(location, spec.fingerprint, "validation", spec.validation_structures, cutoff)
        self.validation = self._validation_batches(validation)
        self.objective = objective(spec, store)
        self.model = build_model(spec, store).to(device)
        self._generators = generators_of(self.model)
        groups = rate_groups(self.model, build_base(spec, store), f"architecture {spec.architecture!r}")
        self.optimizer = make_optimizer(groups, spec.learning_rate, spec.optimizer)
        self._state = ModelState(self.model, self.optimizer)
        self.cost = cost_of(self.model, self.graphs, self.objective, spec, store)
        self.compiled = CompiledStep(self.model, self._loss, self.optimizer.parameters) if spec.compile else None
        self.predict: Predictor = frame_averaged(self.model) if spec.symmetry.frames else self.model
        self.progress, self.work = TrainingProgress(), 0
        self._evaluated: tuple[int, int] | None = None
        self._cursor = DataCursor(self.graphs, spec, device, self.dtype)
        self.schedule = Schedule(spec, self._cursor.limits(self.cost) if has_decay(spec) else None)
        self.trunk: Snapshot | None = None
        if device.type == "cpu":
            keep_freed_memory()
        self.inference = inference_of(spec, store, device) if inference else InferenceCost()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self.trivial_loss = evaluate(None, self.validation, self.objective).loss

    def _validation_batches(self, graphs: GraphSet) -> list[Batch]:
        rows = split_batches(graphs.n_atoms, np.arange(len(graphs)), VALIDATION_BATCH_ATOMS)
        return [graphs.batch(r).to(self.device, self.dtype) for r in rows]

    @property
    def flops(self) -> float:
        """Training FLOPs so far."""
        p = self.progress
        return self.cost.flops(p.step * self.spec.accumulate, p.structures, p.atoms, p.edges, p.triplets)

    @property
    def finished(self) -> bool:
        """Whether all passes over the subset are done."""
        return self._cursor.at_end(self.progress.epoch, self.progress.visited)

    @property
    def _spent(self) -> dict[str, float]:
        return {"data": self.progress.atoms, "flops": self.flops}

    def reached(self, pending: Sequence[Budget]) -> list[Budget]:
        """The pending budgets at which the current path is due for evaluation."""
        return self.schedule.reached(pending, self._spent)

    def branch_off(self, pending: Sequence[Budget], watch: Stopwatch) -> None:
        """With wsd, where the decay to a budget begins: save the trunk and continue on that budget's branch."""
        branch = self.schedule.next_branch(pending, self._spent)
        if branch is not None:
            self.schedule.target = branch
            self.progress.seconds = watch.seconds
            self.trunk = self._state.snapshot(self.progress.since_here())

    def leave_branch(self, done: Collection[Budget]) -> None:
        """Return to the trunk, if this is a branch and its point is done."""
        if self.trunk is not None and self.schedule.target in done:
            self.progress = self._state.restore(self.trunk)
            self.trunk = self.schedule.target = None

    def step(self, watch: Stopwatch) -> None:
        """Train on the next batch.

        Raises:
            DivergedError: the loss or a gradient is no longer finite.
        """
        rows, batch = self._cursor.read(self.progress.epoch, self.progress.visited)
        symmetry, seed, step = self.spec.symmetry, self.spec.seed, self.progress.step
        rate_factor = self.schedule.rate_factor(self._spent)
        if symmetry.augment:
            rotations = self._cursor.rotations(self.progress.epoch, rows)
            batch = rotated(batch, torch.from_numpy(rotations).to(batch.positions))
        objective = step_objective(self.objective, symmetry, self.model, seed, step, batch.positions)
        with tf32_products(self.spec.precision):
            if self.compiled is not None:
                self.compiled.prepare(objective, batch)
            self._reseed(STEP)
            watch.start()
            loss = self._gradients(objective, batch)
        norm = self.optimizer.step(rate_factor)
        watch.stop()
        self._count(batch, len(rows))
        self._record(float(loss), norm)

    def _gradients(self, objective: Objective, batch: Batch) -> torch.Tensor:
        """Compute the loss of a batch, and its gradient in the weights' `grad`."""
        if self.compiled is not None:
            return self.compiled(objective, batch)
        if self.spec.accumulate == 1:
            return plain_step(self._loss, self.optimizer.parameters, objective, batch)
        losses = []
        for part in batch.parts(self.spec.accumulate):
            shares = len(part.n_atoms) / len(batch.n_atoms), len(part.numbers) / len(batch.numbers)
            losses.append(plain_step(self._loss, self.optimizer.parameters, objective.of_part(*shares), part))
        return torch.stack(losses).sum()

    def _loss(self, objective: Objective, batch: Batch) -> torch.Tensor:
        with mixed(self.spec.precision, self.device):
            return objective.loss(self.model(batch), batch)

    def _reseed(self, stream: int) -> None:
        reseed(self.spec.seed, self.progress.step, stream, own=self._generators)

    def _count(self, batch: Batch, n_structures: int) -> None:
        """Advance the progress by a step on a batch."""
        p = self.progress
        self.work += 1
        p.step += 1
        p.steps_since_point += 1
        p.visited += n_structures
        p.structures += n_structures
        p.atoms += len(batch.numbers)
        p.edges += len(batch.senders)
        if self.model.triplets:
            p.triplets += batch.n_triplets
        if p.visited >= self.spec.structures:
            p.epoch, p.visited = p.epoch + 1, 0

    def _record(self, loss: float, norm: float) -> None:
        """Add the loss and the gradient norm of a step to the sums since the last point."""
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise DivergedError(
                f"trial {self.spec.trial_id} diverged at step {self.progress.step}: loss {loss}, gradient norm {norm}, "
                f"learning rate {self.spec.learning_rate}. Use a smaller learning rate."
            )
        self.progress.loss_sum += loss
        self.progress.norm_sum += norm

    def points(self, reached: Sequence[Budget]) -> list[Point]:
        """Evaluate: a point for each budget, the smallest first."""
        errors = self.evaluate()
        before = self._evaluated[1] if self._evaluated is not None and self._evaluated[0] == self.work else 0
        self._evaluated = (self.work, before + len(reached))
        self._reseed(EVALUATION)
        equivariance = equivariance_error(self.predict, self.validation[0])
        return [self._point(budget, errors, equivariance) for budget in sorted(reached, key=lambda one: one[::-1])]

    def _point(self, budget: Budget, errors: Errors, equivariance: float | None) -> Point:
        """The measurement at the current step."""
        p, spec = self.progress, self.spec
        steps, seconds = p.steps_since_point, p.seconds - p.seconds_at_point
        return Point(
            trial_id=spec.trial_id,
            architecture=spec.architecture,
            size=size_json(spec.size),
            seed=spec.seed,
            learning_rate=spec.learning_rate,
            step=p.step,
            budget=budget.amount,
            budget_kind=budget.kind,
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
            inference_flops=self.inference.flops,
            md_ms_100=self.inference.md_ms.get(100),
            md_ms_1000=self.inference.md_ms.get(1000),
        )

    def evaluate(self) -> Errors:
        """The errors on the validation set, with the weights and the precision of evaluations.

        Raises:
            DivergedError: the loss is not finite.
        """
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
        """Switch model and optimizer back from evaluation to training."""
        self.model.train()
        self.optimizer.train()

    def checkpoint(self, points: Sequence[Point]) -> Checkpoint:
        """Everything that `restore` needs to continue bit for bit, the trunk of a branch included."""
        here = self._state.snapshot(self.progress)
        tensors = dict(here.tensors)
        numbers = {**here.numbers, "target": self.schedule.target, "devices": self.device_names}
        numbers[EVALUATED] = self._evaluated
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
        """Continue from a checkpoint of this trajectory."""
        here = {name: value for name, value in checkpoint.tensors.items() if not name.startswith("trunk.")}
        trunk = {name.removeprefix("trunk."): value for name, value in checkpoint.tensors.items() if name not in here}
        numbers = dict(checkpoint.numbers)
        trunk_numbers = numbers.pop("trunk", None)
        self.progress = self._state.restore(Snapshot(tensors=here, numbers=numbers))
        self.trunk = Snapshot(tensors=trunk, numbers=trunk_numbers) if isinstance(trunk_numbers, dict) else None
        self.device_names = together([str(numbers.get("devices", self.device_names)), self.device_names])
        target = numbers["target"]
        self.schedule.target = Budget(str(target[0]), float(target[1])) if isinstance(target, list) else None
        self.work = checkpoint.step
        evaluated = numbers.get(EVALUATED)
        self._evaluated = (int(evaluated[0]), int(evaluated[1])) if isinstance(evaluated, list) else None


def _check(spec: TrialSpec, store: Store, device: torch.device) -> None:
    """Refuse a trajectory that this store or this device cannot train."""
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
