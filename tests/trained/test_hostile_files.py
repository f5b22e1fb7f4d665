"""Damaged and forged model files are refused in a sentence that names the file, and nothing in them is executed."""

import io
import json
import os
import pickle
import struct

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raysweep.core.errors import ModelError
from raysweep.trained import model_file
from raysweep.trained.container import Content, from_bytes, read_content, to_bytes
from raysweep.trained.model import load

EXECUTED = "EXECUTED_BY_A_MODEL_FILE"


class Bomb:
    def __reduce__(self):
        return (os.putenv, (EXECUTED, "1"))


def refusal(path) -> str:
    before = dict(os.environ)
    with pytest.raises(ModelError) as refused:
        load(path)
    assert dict(os.environ) == before
    said = str(refused.value)
    assert str(path) in said
    assert "\n" not in said
    return said


def forged(path, tmp_path, change, name="forged.rsm"):
    """A file whose digest is right, with body and tensors changed by `change(body, tensors)`."""
    content = read_content(str(path))
    body, tensors = json.loads(json.dumps(content.body)), dict(content.tensors)
    version = change(body, tensors) or content.version
    target = tmp_path / name
    target.write_bytes(to_bytes(Content(version=version, body=body, tensors=tensors)))
    return target


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_cut_or_flipped_byte_is_refused(conservative, data):
    blob = conservative[0].read_bytes()
    where = data.draw(st.integers(0, len(blob) - 1))
    cut = data.draw(st.booleans())
    bit = 1 << data.draw(st.integers(0, 7))
    damaged = blob[:where] if cut else blob[:where] + bytes([blob[where] ^ bit]) + blob[where + 1 :]
    with pytest.raises(ModelError, match="the-file"):
        from_bytes(damaged, "the-file")


def test_appended_bytes_are_refused(conservative, tmp_path):
    path = tmp_path / "longer.rsm"
    path.write_bytes(conservative[0].read_bytes() + b"\0" * 8)
    refusal(path)


@pytest.mark.parametrize("kind", ["pickle", "torch", "zip"])
def test_a_pickle_is_never_loaded(kind, tmp_path):
    path = tmp_path / "model.rsm"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Bomb()))
    else:
        stream = io.BytesIO()
        torch.save({"weights": Bomb()} if kind == "torch" else torch.zeros(2), stream)
        path.write_bytes(stream.getvalue())
    assert "pickle" in refusal(path)


@pytest.mark.parametrize(
    ("blob", "said"),
    [
        (b"", "too short"),
        (b"12345", "too short"),
        (struct.pack("<Q", 2**62) + b"{}", "header"),
        (struct.pack("<Q", 2**24) + b"{}", "header"),
        (struct.pack("<Q", 2) + b"{}", "metadata"),
        (struct.pack("<Q", 100_000) + b"[" * 100_000, "metadata"),
        (struct.pack("<Q", 32) + b'{"__metadata__":{"raysweep": 3}}', "metadata"),
        (np.random.default_rng(0).bytes(5000), "header"),
    ],
    ids=["empty", "short", "huge header", "long header", "no metadata", "deep header", "number", "noise"],
)
def test_what_is_no_model_file_is_refused(blob, said, tmp_path):
    path = tmp_path / "model.rsm"
    path.write_bytes(blob)
    assert said in refusal(path)


def test_absent_files_folders_and_other_safetensors_are_refused(tmp_path):
    assert "no such file" in refusal(tmp_path / "absent.rsm")
    assert "folder" in refusal(tmp_path)
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(3)}, tmp_path / "other.rsm", metadata={"raysweep": "{" * 10})
    assert "metadata" in refusal(tmp_path / "other.rsm")


def weight(tensors):
    return next(name for name, value in tensors.items() if value.dim() == 2)


def put(name, value):
    def change(body, tensors):
        key = weight(tensors)
        tensors[key] = value(tensors[key])

    change.__name__ = name
    return change


def renamed(body, tensors):
    tensors["weights.../../etc/passwd"] = tensors.pop(weight(tensors))


def outside(body, tensors):
    tensors["../../x"] = torch.zeros(1)


def strange_buffer(body, tensors):
    tensors["kept.nothing"] = torch.zeros(1)


def strange_number(body, tensors):
    body["numbers"] = {".forward": "os.system"}


def in_body(**fields):
    return lambda body, tensors: body.update(fields)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("shape", lambda x: x[:-1].clone()), "and the network needs"),
        (put("type", lambda x: x.half()), "float16"),
        (put("nan", lambda x: x * float("nan")), "not finite"),
        (put("infinite", lambda x: x.clone().fill_(float("inf"))), "not finite"),
        (renamed, "weight"),
        (outside, "neither a weight"),
        (strange_buffer, "none of the network's"),
        (strange_number, "no place for"),
        (in_body(architecture="no-such"), "'no-such' is unknown here"),
        (in_body(architecture="../../mpnn"), "unknown here"),
        (in_body(architecture="theirs", plug_in="their-package: theirs.net:ARCHITECTURE"), "their-package"),
        (in_body(size={"width": 8, "gate": 1}), "gate"),
        (in_body(size={"width": 2**16, "depth": 1}), "damaged or forged"),
        (in_body(size={"width": 4, "depth": 2, "l_max": 1, "cutoff": 4.0}), "cutoff"),
        (in_body(elements=[1, 1]), "elements"),
        (in_body(elements=[10**9]), "elements"),
        (in_body(reference_energies={}), "reference_energies"),
        (in_body(scale="__import__('os')"), "scale"),
        (in_body(units={"energy": "kcal/mol"}), "units"),
        (in_body(more=1), "more"),
        (lambda body, tensors: 99, "version is 99"),
        (lambda body, tensors: body.pop("forces") and None, "forces"),
    ],
)
def test_a_forged_file_is_refused_by_its_key(change, said, conservative, tmp_path):
    assert said in refusal(forged(conservative[0], tmp_path, change))


def test_an_older_version_is_upgraded_step_by_step(conservative, tmp_path, monkeypatch):
    """Version 3 calls `cutoff` what version 1 called `radius`, and version 2 `range`."""

    def as_first(body, tensors):
        body["radius"] = body.pop("cutoff")

    path = forged(conservative[0], tmp_path, as_first)
    monkeypatch.setattr(model_file, "VERSION", 3)

    def rename(old, new):
        return lambda body, tensors: (
            {new if key == old else key: body[key] for key in body} | {new: body[old]},
            tensors,
        )

    monkeypatch.setattr(model_file, "UPGRADES", {1: rename("radius", "range"), 2: rename("range", "cutoff")})
    assert load(path).record == conservative[1].record
    broken = forged(conservative[0], tmp_path, lambda body, tensors: None, "broken.rsm")
    assert "version 1 cannot be upgraded" in refusal(broken)
