"""Compiled steps: the numbers of plain ones, for all sizes of batches after one compilation; what is refused."""

import shutil
import time
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from raysweep.core.errors import SpaceError
from raysweep.data.graphs.batches import Batch, load_graphs
from raysweep.data.store.store import Store
from raysweep.models.base import ForceField, Size
from raysweep.models.registry import create
from raysweep.training.build import dataset_info
from raysweep.training.device.compilation import STEPS_PER_PROGRAM, CompiledStep, check_compiler, plain_step
from raysweep.training.device.precision import mixed
from raysweep.training.loop import train
from raysweep.training.objective import Objective
from raysweep.training.symmetry import SymmetryObjective, step_rotations
from raysweep.training.trajectory import Trajectory

OBJECTIVE = Objective(rms_energy=0.3, rms_force=1.2)
STRUCTURES = ((0, 7), (0, 8), (20, 25), (3, 100), (50, 55))
"""Ranges of the structures of batches; the first is the one that is compiled with."""

TINY = {
    "mpnn": ("mpnn", {"width": 4, "depth": 1}),
    "egnn": ("egnn", {"width": 4, "depth": 2}),
    "gemnet": ("gemnet", {"width": 4, "depth": 2}),
    "sparse": ("tensor", {"width": 3, "l_max": 2}),
    "so2": ("tensor", {"width": 3, "l_max": 2, "convolution": "so2", "correlation": 1}),
    "cg": ("tensor", {"width": 3, "l_max": 1, "convolution": "cg", "correlation": 1, "norm": "layer"}),
    "hybrid": ("hybrid", {"width": 4, "layers": "invariant tensor", "l_max": 1}),
    "schnet": ("schnet", {"width": 4, "depth": 1, "radial": 8}),
    "dimenetpp": ("dimenetpp", {"width": 4, "depth": 1, "angular": 2}),
}


@pytest.fixture
def batches(store: Store) -> list[Batch]:
    graphs = load_graphs(store, store.subset(128), 5.0)
    return [graphs.batch(np.arange(*of)).to(torch.device("cpu"), torch.float64) for of in STRUCTURES]


class Steps:
    """A compiled and a plain step of a network."""

    def __init__(self, model: ForceField, precision="float32"):
        self.model, self.precision = model.train(), precision
        self.weights = list(model.parameters())
        self.compiled = CompiledStep(model, self.loss, self.weights)

    def loss(self, objective, batch):
        with mixed(self.precision, torch.device("cpu")):
            return objective.loss(self.model(batch), batch)

    def differ(self, objective, batch):
        """The largest relative difference of losses and gradients."""
        self.compiled.prepare(objective, batch)
        ours = self._taken(self.compiled(objective, batch))
        plain = self._taken(plain_step(self.loss, self.weights, objective, batch))
        assert [x is None for x in ours] == [x is None for x in plain]
        return max(
            float((x - y).abs().max() / (y.abs().max() + 1e-9))
            for x, y in zip(ours, plain, strict=True)
            if x is not None and y is not None
        )

    def _taken(self, loss):
        gradients = [weight.grad for weight in self.weights]
        for weight in self.weights:
            weight.grad = None
        return [loss, *gradients]


class Springs(ForceField):
    """Every edge is a spring."""

    def __init__(self, dataset):
        super().__init__(Size(width=1), "conservative", dataset)
        self.stiffness = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))

    def atoms(self, batch, vectors):
        energies = (vectors.square().sum(dim=1) * self.stiffness).sin()
        return energies.new_zeros(self.count(batch)).index_add(0, batch.receivers, energies), None

    def count(self, batch):
        return batch.numbers.shape[0]


class Fixed(Springs):
    """Takes the number of atoms for a Python number."""

    def count(self, batch):
        return len(batch.numbers)


class Deciding(Springs):
    """Decides by numbers of the batch."""

    def count(self, batch):
        return super().count(batch) if batch.numbers.max() > 1 else 0


class Drawing(Springs):
    """Draws random numbers, so that no step is like another."""

    def atoms(self, batch, vectors):
        energies, _ = super().atoms(batch, vectors)
        return energies * torch.randn_like(energies), None


def steps(store, label, forces="conservative", **of):
    name, size = TINY[label]
    return Steps(create(name, size, forces, dataset_info(store), 0, torch.float64), **of)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_one_compilation_gives_the_plain_numbers_for_all_sizes(store, batches):
    of = Steps(Springs(dataset_info(store)))
    assert max(of.differ(OBJECTIVE, batch) for batch in batches) < 1e-9
    assert (of.compiled.compilations, of.compiled.plain_steps) == (1, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("label", "forces"),
    [*((label, "conservative") for label in TINY), ("mpnn", "direct"), ("sparse", "direct")],
)
def test_it_does_so_in_every_family(store, batches, label, forces):
    of = steps(store, label, forces)
    assert max(of.differ(OBJECTIVE, batch) for batch in batches) < 1e-9
    assert (of.compiled.compilations, of.compiled.plain_steps) == (1, 0)


@pytest.mark.slow
def test_rotations_of_a_symmetry_loss_are_not_compiled_in(store, batches):
    of = steps(store, "mpnn")
    for step, batch in enumerate(batches):
        rotations = torch.from_numpy(step_rotations(2, 0, step))
        objective = SymmetryObjective(**asdict(OBJECTIVE), predict=of.model, rotations=rotations, weight=0.5)
        assert of.differ(objective, batch) < 1e-9
    assert (of.compiled.compilations, of.compiled.plain_steps) == (1, 0)


@pytest.mark.slow
def test_products_are_in_bf16_where_that_is_the_precision(store, batches):
    model = create("mpnn", {"width": 8}, "conservative", dataset_info(store), 0)
    of, full = Steps(model, "bf16"), Steps(model)
    batch = batches[0].to(torch.device("cpu"), torch.float32)
    assert of.differ(OBJECTIVE, batch) < 0.05
    losses = [float(step.compiled(OBJECTIVE, batch)) for step in (of, full)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


@pytest.mark.slow
def test_periodic_batches_and_lone_structures_get_programs_of_their_own_where_they_are_many(store, batches):
    of = steps(store, "mpnn")
    first, lone = batches[0], load_graphs(store, store.subset(1), 5.0).batch(np.arange(1))
    lone = lone.to(torch.device("cpu"), torch.float64)
    periodic = replace(first, shifts=torch.full((len(first.senders), 3), 0.1, dtype=torch.float64))
    assert of.differ(OBJECTIVE, first) < 1e-9
    for programs, (batch, size) in enumerate([(lone, 1), (periodic, 2)], start=1):
        while of.compiled.plain_steps < STEPS_PER_PROGRAM * size:
            assert of.differ(OBJECTIVE, batch) < 1e-9
            assert of.compiled.compilations == programs
        assert of.differ(OBJECTIVE, batch) < 1e-9
        assert (of.compiled.compilations, of.compiled.plain_steps) == (programs + 1, STEPS_PER_PROGRAM * size)


@pytest.mark.slow
@pytest.mark.parametrize("forces", ["direct", "conservative"])
def test_compiled_steps_train_alike(spec, store, forces):
    update = {"architecture": "mpnn", "size": {"width": 8, "depth": 1}, "base_size": None, "forces": forces}
    plain = spec.model_copy(update=update)
    expected, found = (
        list(train(of, store, device="cpu")) for of in (plain, plain.model_copy(update={"compile": True}))
    )
    for point, right in zip(found, expected, strict=True):
        assert point.loss == pytest.approx(right.loss, rel=1e-3)
        assert (point.flops, point.data, point.step) == (right.flops, right.data, right.step)


def test_seconds_of_a_point_leave_compilation_out(spec, store, monkeypatch):
    monkeypatch.setattr(CompiledStep, "prepare", lambda *_: time.sleep(0.1))
    few = spec.model_copy(update={"data_budgets": (500.0,), "flops_budgets": (), "compile": True})
    began = time.perf_counter()
    (point,) = train(few, store, device="cpu")
    assert 0 < point.seconds < time.perf_counter() - began - 0.1 * point.step


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Fixed, r"training.compile: true: Fixed treats the number of atoms in a batch as a constant.*x\.shape\[0\]"),
        (Deciding, r"training.compile: true: the step of Deciding could not be compiled \(.*\). Leave out compile"),
        (
            Drawing,
            r"the compiled step of Drawing is wrong: .* is .*% away from the plain step's.*Leave out compile",
        ),
    ],
)
def test_a_network_that_cannot_be_compiled_is_told(store, batches, network, message):
    of = Steps(network(dataset_info(store)))
    with pytest.raises(SpaceError, match=message):
        of.compiled.prepare(OBJECTIVE, batches[0])


@pytest.mark.slow
def test_what_the_compiler_gets_wrong_is_not_trained_with(store, batches):
    """Where torch has mended it this fails: then `compiles` of ViSNet can go."""
    size = {"width": 8, "depth": 2, "head_width": 4, "radial": 8}
    of = Steps(create("visnet", size, "conservative", dataset_info(store), 0, torch.float64))
    with pytest.raises(
        SpaceError, match=r"the compiled step of ViSNet is wrong: the gradient of network\..* is \d+% away"
    ):
        of.compiled.prepare(OBJECTIVE, batches[0])
    assert of.compiled.compilations == 0
    assert all(weight.grad is None for weight in of.weights)


def test_a_machine_without_compiler_is_told(spec, store, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(SpaceError, match=r"training.compile: true needs a compiler.* no no-such-compiler. Install one"):
        Trajectory(spec.model_copy(update={"compile": True}), store, torch.device("cpu"))
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(SpaceError, match=r"environment variable CC, or leave out compile"):
        check_compiler(torch.device("cuda"))
