"""Lower precisions; what points say of speed, memory and symmetry; tables of older versions."""

from dataclasses import asdict

import pytest
import torch

from raysweep.core.errors import SpaceError
from raysweep.core.points import POINT_SCHEMA, from_table, to_table
from raysweep.training.loop import train
from raysweep.training.trajectory import Trajectory


def mpnn(spec, **changes):
    update = {"architecture": "mpnn", "size": {"width": 8, "depth": 1}, "base_size": None, "forces": "direct"}
    return spec.model_copy(update=update | {"data_budgets": (300.0, 1500.0), "flops_budgets": ()} | changes)


@pytest.mark.parametrize("forces", ["direct", "conservative"])
def test_bf16_trains_with_weights_in_float32_and_differs(spec, store, forces):
    plain = list(train(mpnn(spec, forces=forces), store, device="cpu"))
    low = list(train(mpnn(spec, forces=forces, precision="bf16"), store, device="cpu"))
    for coarse, fine in zip(low, plain, strict=True):
        assert coarse.train_loss == pytest.approx(fine.train_loss, rel=0.02)
        assert coarse.loss == pytest.approx(fine.loss, rel=0.05)
    assert low[-1].loss < 0.95 * low[0].loss
    assert low[-1].loss != plain[-1].loss
    run = Trajectory(mpnn(spec, precision="bf16"), store, torch.device("cpu"))
    assert {weight.dtype for weight in run.model.parameters()} == {torch.float32}


def test_tf32_is_refused_where_there_is_none(spec, store):
    with pytest.raises(SpaceError, match=r"training.precision: tf32 .* device is cpu"):
        next(train(mpnn(spec, precision="tf32"), store, device="cpu"))


def test_points_say_how_fast_how_large_and_how_symmetric(spec, store):
    tensor = list(train(spec.model_copy(update={"data_budgets": (500.0, 1200.0)}), store, device="cpu"))
    one, two = (p for p in tensor if p.budget_kind == "data")
    first = tensor[0]
    assert first.throughput == pytest.approx(first.data / first.seconds)
    before = max((p for p in tensor if p.step < two.step), key=lambda p: p.step)
    assert two.throughput == pytest.approx((two.data - before.data) / (two.seconds - before.seconds))
    assert one.step < two.step
    assert all(1e8 < p.peak_memory < 1e11 for p in tensor)
    assert all(p.equivariance_error < 1e-4 for p in tensor)
    assert all(p.equivariance_error > 1e-2 for p in train(mpnn(spec), store, device="cpu"))


def test_a_table_of_an_older_version_is_read_with_nones(spec, store):
    points = list(train(mpnn(spec), store, device="cpu"))
    assert from_table(to_table(points)) == points
    new = ["throughput", "equivariance_error", "peak_memory"]
    old = to_table(points).drop_columns(new)
    assert [asdict(p) for p in from_table(old)] == [asdict(p) | dict.fromkeys(new) for p in points]
    assert POINT_SCHEMA.metadata[b"raysweep.schema"] == b"points/2"
