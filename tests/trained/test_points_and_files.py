"""A point, its model file and the calculator of that file have the same errors; sweeps say which points they have."""

import warnings

import numpy as np
import pytest
from ase import Atoms

from raysweep.core.errors import ModelError, StorageError
from raysweep.core.trial import OptimizerSpec, SymmetrySpec
from raysweep.storage.reader import SweepReader
from raysweep.sweep.plan.planner import _disk_bytes
from raysweep.trained.container import read_content, to_bytes
from raysweep.trained.model import load
from raysweep.trained.sweeps import choose_point, export_model

SIZES = {
    "mpnn": {"width": 8, "depth": 2},
    "egnn": {"width": 6, "depth": 2},
    "gemnet": {"width": 8, "depth": 2},
    "hybrid": {"width": 6, "layers": "unconstrained tensor invariant", "l_max": 1},
    "schnet": {"width": 8, "depth": 2},
    "dimenetpp": {"width": 8, "depth": 1},
    "visnet": {"width": 8, "depth": 1, "head_width": 4},
    "tensor": {"width": 4, "depth": 2, "l_max": 2, "convolution": "so2", "norm": "rms"},
}
OPTIMIZERS = {
    "schedulefree_adamw": OptimizerSpec(warmup_steps=2),
    "wsd": OptimizerSpec(name="wsd", warmup_steps=2, decay_share=0.4),
    "cosine": OptimizerSpec(name="cosine", warmup_steps=2),
}


def errors(model, store, rows) -> tuple[float, float]:
    """Energy MAE (eV/atom) and mean L2 norm of the force error (eV/Å) by the calculator, structure by structure."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        calculator = model.calculator()
    labelled = store.read(rows)
    energy, force = [], []
    for i in range(len(rows)):
        own = slice(labelled.offsets[i], labelled.offsets[i + 1])
        atoms = Atoms(numbers=labelled.numbers[own], positions=labelled.positions[own], calculator=calculator)
        energy.append(abs(atoms.get_potential_energy() - labelled.energy[i]) / len(atoms))
        force += list(np.linalg.norm(atoms.get_forces() - labelled.forces[own], axis=1))
    return float(np.mean(energy)), float(np.mean(force))


def check(point, model, store, spec) -> None:
    energy, force = errors(model, store, store.validation(spec.validation_structures))
    assert energy == pytest.approx(point.energy_mae, rel=1e-6)
    assert force == pytest.approx(point.force_l2, rel=1e-6)


@pytest.mark.parametrize("forces", ["conservative", "direct"])
@pytest.mark.parametrize("architecture", SIZES)
def test_the_calculator_of_a_points_file_has_the_points_errors(architecture, forces, trained, store, sweep, tmp_path):
    spec, points = trained(architecture, SIZES[architecture], forces=forces)
    model = export_model(str(sweep), spec.trial_id, tmp_path / "model.rsm", data=str(store.location))
    assert model.record.origin.point["loss"] == points[-1].loss
    check(points[-1], model, store, spec)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weights_are_the_evaluated_ones_with_every_optimizer_at_every_point(optimizer, trained, store, sweep, tmp_path):
    spec, points = trained(optimizer=OPTIMIZERS[optimizer], keep="all", seed=5)
    for point in points:
        model = export_model(
            str(sweep), spec.trial_id, tmp_path / "m.rsm", budget=point.budget, data=str(store.location)
        )
        assert model.record.origin.point["budget"] == point.budget
        check(point, model, store, spec)
    assert len({point.loss for point in points}) == 2


@pytest.mark.parametrize(
    "fields", [{"precision": "float64"}, {"precision": "bf16"}, {"symmetry": SymmetrySpec(frames=True)}],
    ids=["float64", "bf16", "frames"],
)  # fmt: skip
def test_precision_and_frames_go_along(fields, trained, store, sweep, tmp_path):
    spec, points = trained("mpnn", SIZES["mpnn"], **fields)
    model = export_model(str(sweep), spec.trial_id[:10], tmp_path / "m.rsm", data=str(store.location))
    assert model.record.frames == spec.symmetry.frames
    assert str(model.dtype).endswith("64") == (spec.precision == "float64")
    check(points[-1], model, store, spec)


def test_best_is_the_lowest_loss_whose_weights_are_kept_and_names_one_that_is_not(trained, store, sweep, tmp_path):
    for seed in (11, 12):
        trained("schnet", SIZES["schnet"], seed=seed)
    reader = SweepReader(str(sweep))
    families = {row.trial_id for row in reader.assignments() if row.family == "schnet"}
    losses = [(loss, key) for key in families for loss in reader.points(key)["loss"].to_pylist()[-1:]]
    chosen = choose_point(reader, "best", family="schnet")
    assert (chosen.point.loss, chosen.spec.trial_id) == min(losses)
    lowest = min(loss for key in families for loss in reader.points(key)["loss"].to_pylist())
    assert (None if chosen.passed_over is None else chosen.passed_over.loss) == (
        lowest if lowest < chosen.point.loss else None
    )
    model = export_model(str(sweep), "best", tmp_path / "m.rsm", family="schnet", data=str(store.location))
    assert model.record.origin.family == "schnet"


def test_equal_content_gives_equal_bytes(conservative):
    path, _ = conservative
    assert to_bytes(read_content(str(path))) == path.read_bytes()


def test_what_is_not_there_is_named_with_a_remedy(trained, store, sweep, tmp_path):
    spec, points = trained("schnet", SIZES["schnet"], seed=21, data_budgets=(80.0, 160.0, 240.0, 320.0))
    target = tmp_path / "m.rsm"

    def refusal(*given, **options):
        with pytest.raises(ModelError) as refused:
            export_model(str(sweep), *given, target, data=str(store.location), **options)
        return str(refused.value)

    assert "there is no such trial (points.parquet and MLflow name them" in refusal("ffff" * 4)
    assert "give more digits" in refusal("") or "no such trial" in refusal("")
    assert "its points are at 80, 160, 240, 320" in refusal(spec.trial_id, budget=7.0)
    assert "keep_weights: all" in refusal(spec.trial_id, budget=points[0].budget)
    assert "none of the sweep's" in refusal("best", family="nobody")
    assert "its points are at" in refusal("best", budget=7.0)
    with pytest.raises(ModelError, match="no points yet; run it first, or check the path"):
        export_model(str(tmp_path / "nowhere"), "best", target)
    assert not target.exists()
    with pytest.raises(StorageError, match="it is a folder: give the name of a file"):
        export_model(str(sweep), spec.trial_id, tmp_path, data=str(store.location))


def test_a_budget_may_be_given_as_it_is_printed(trained, store, sweep, tmp_path):
    spec, _ = trained("schnet", SIZES["schnet"], seed=22, data_budgets=(80.0, 240.00049))
    model = export_model(str(sweep), spec.trial_id, tmp_path / "m.rsm", budget=240.0, data=str(store.location))
    assert model.record.origin.point["budget"] == 240.00049


def test_a_file_loads_in_another_precision(conservative):
    path, model = conservative
    single = load(path, precision="float32")
    atoms = Atoms(
        "CH4", positions=[[0, 0, 0], [0.6, 0.6, 0.6], [-0.6, -0.6, 0.6], [-0.6, 0.6, -0.6], [0.6, -0.6, -0.6]]
    )
    energies = []
    for one in (model, single):
        atoms.calc = one.calculator()
        energies.append(atoms.get_potential_energy())
    assert energies[0] == pytest.approx(energies[1], abs=1e-3)
    assert energies[0] != energies[1]


@pytest.mark.parametrize(("keep", "kept"), [("last", 0), ("best", 1), ("all", 2)])
def test_weights_that_are_kept_take_the_disk_that_plan_counts(keep, kept, trained, sweep):
    spec, points = trained(keep=keep, seed={"last": 41, "best": 42, "all": 43}[keep])
    assert len(points) == 2
    sizes = [file.stat().st_size for file in (sweep / "trials" / spec.trial_id).rglob("point-*.safetensors")]
    counted = _disk_bytes(points[-1].params, spec.optimizer, 2, keep) - _disk_bytes(
        points[-1].params, spec.optimizer, 2, "last"
    )
    assert counted == 4 * points[-1].params * kept
    assert len(sizes) == kept
    assert counted <= sum(sizes) <= counted + 4096 * kept  # the names and shapes of the tensors
