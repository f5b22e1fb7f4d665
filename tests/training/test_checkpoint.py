"""Checkpoints are whole or passed over, whatever happens to their files."""

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raysweep.core.points import Point
from raysweep.training.checkpoint import Checkpoint, evaluated, newest, save, save_weights

ID = "0123456789abcdef"


def point(step):
    return Point(
        trial_id=ID, architecture="mpnn", size='{"width": 8}', seed=0, learning_rate=0.1, step=step, budget=1.0 / 3,
        budget_kind="data", params=7, data=1.0 / 3, flops=2.5e19, loss=0.1 + 0.2,
    )  # fmt: skip


def checkpoint(step):
    return Checkpoint(
        trial_id=ID,
        step=step,
        tensors={"a": torch.arange(6.0).reshape(2, 3) * step, "b": torch.tensor([1 / 3], dtype=torch.float64)},
        numbers={"seconds": 0.1 + 0.2, "nested": [{"k": 1.0}]},
        points=tuple(point(s) for s in range(1, step + 1)),
    )


def same(one, two):
    tensors = all(torch.equal(one.tensors[key], two.tensors[key]) for key in two.tensors)
    return tensors and one.numbers == two.numbers and one.points == two.points and one.step == two.step


def test_what_was_saved_is_read_back_to_the_bit_and_two_are_kept(tmp_path):
    for step in (1, 2, 3):
        save(str(tmp_path), checkpoint(step))
    found, skipped = newest(str(tmp_path), ID)
    assert same(found, checkpoint(3))
    assert skipped == []
    assert len(list(tmp_path.iterdir())) == 4


def test_an_empty_or_absent_folder_holds_none(tmp_path):
    assert newest(str(tmp_path), ID) == (None, [])
    assert newest(str(tmp_path / "absent"), ID) == (None, [])


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_cut_or_flipped_byte_falls_back_to_the_older_one_and_says_so(tmp_path, suffix, data):
    save(str(tmp_path), checkpoint(1))
    save(str(tmp_path), checkpoint(2))
    path = tmp_path / f"step-000000000002.{suffix}"
    blob = path.read_bytes()
    where = data.draw(st.integers(0, len(blob) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(blob[:where])
    else:
        path.write_bytes(blob[:where] + bytes([blob[where] ^ 32]) + blob[where + 1 :])
    found, skipped = newest(str(tmp_path), ID)
    harmless = found.step == 2 and same(found, checkpoint(2))
    assert harmless or (same(found, checkpoint(1)) and len(skipped) == 1 and "step-000000000002" in skipped[0])


def test_a_checkpoint_of_another_trial_is_not_taken(tmp_path):
    save(str(tmp_path), checkpoint(1))
    found, skipped = newest(str(tmp_path), "f" * 16)
    assert found is None
    assert ID in skipped[0]


def test_tensors_without_their_description_do_not_count(tmp_path):
    save(str(tmp_path), checkpoint(1))
    (tmp_path / "step-000000000001.json").unlink()
    assert newest(str(tmp_path), ID) == (None, [])


def test_a_description_with_hostile_content_is_data_only(tmp_path):
    save(str(tmp_path), checkpoint(1))
    body = json.dumps({"sha256": "x", "body": "__import__('os').system('true')"})
    (tmp_path / "step-000000000001.json").write_text(body)
    found, skipped = newest(str(tmp_path), ID)
    assert found is None
    assert len(skipped) == 1


def at_point(step, count=1, loss=0.3):
    own = checkpoint(step)
    points = tuple(replace(p, loss=0.3 if p.step < step else loss) for p in own.points)
    tensors = {"model.a": own.tensors["a"], "optimizer.a": own.tensors["b"], "kept.c": own.tensors["b"] + 1}
    return replace(own, tensors=tensors, numbers={**own.numbers, "evaluated": [step, count]}, points=points)


@pytest.mark.parametrize(("keep", "steps"), [("last", [4]), ("best", [2, 4]), ("all", [1, 2, 3, 4])])
def test_points_keep_their_weights_as_asked_whatever_is_saved_after_them(tmp_path, keep, steps):
    for step, loss in ((1, 0.3), (2, 0.1), (3, 0.3), (4, 0.2)):
        here = at_point(step, loss=loss)
        earlier = tuple(replace(p, loss=0.1) if p.step == 2 and step > 2 else p for p in here.points)
        here = replace(here, points=earlier)
        save_weights(str(tmp_path), here, keep)
        save(str(tmp_path), here)
    for step in (5, 6, 7):
        save(str(tmp_path), replace(checkpoint(step), numbers={"evaluated": [4, 1]}))
    found = evaluated(str(tmp_path), ID)
    assert [one.step for one in found] == steps
    assert [one.points[-1].step for one in found] == steps
    assert all(len(one.points) == 1 and set(one.tensors) == {"model.a", "kept.c"} for one in found)
    assert newest(str(tmp_path), ID)[0].step == 7


def test_weights_belong_to_all_points_that_were_taken_with_them(tmp_path):
    save(str(tmp_path), at_point(5, count=3))
    assert len(evaluated(str(tmp_path), ID)[0].points) == 3
    (tmp_path / "step-000000000005.safetensors").write_bytes(b"torn")
    assert evaluated(str(tmp_path), ID) == []
