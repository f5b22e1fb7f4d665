"""Numbers that a refactor must not change: ids, fingerprints, initial weights, losses, a fit.

Hashes of text hold everywhere. Numbers hold to the last bit where the libraries of this machine round as those did that
wrote `values.json`, and to rounding elsewhere.
"""

import hashlib
import json
from collections.abc import Iterator

import golden
import pytest
import torch

from raysweep.data.store.store import Store

VALUES = json.loads(golden.VALUES.read_text())


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def same_bits() -> bool:
    """Whether equal bits can be asked of this machine."""
    return golden.arithmetic() == VALUES["arithmetic"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return golden.golden_store(tmp_path_factory.mktemp("golden") / "store")


def test_trial_ids() -> None:
    assert {label: spec.trial_id for label, spec in golden.specs().items()} == VALUES["trial_ids"]


def test_fingerprint_and_scale_of_a_store(store: Store) -> None:
    assert store.manifest.fingerprint == VALUES["fingerprint"]
    assert store.manifest.rms_force == pytest.approx(VALUES["rms_force"], rel=1e-9)


@pytest.mark.parametrize("label", golden.NETWORKS)
def test_initial_weights(label: str, same_bits: bool) -> None:
    found, expected = golden.weights(label), VALUES["weights"][label]
    assert found["tensors"] == pytest.approx(expected["tensors"], rel=1e-5, abs=1e-12)
    assert not same_bits or found["sha256"] == expected["sha256"]


@pytest.mark.parametrize("label", [*golden.NETWORKS, "direct"])
def test_loss_after_a_few_steps(label: str, store: Store, same_bits: bool) -> None:
    found = golden.loss("tensor", store, "direct") if label == "direct" else golden.loss(label, store)
    assert found == pytest.approx(VALUES["losses"][label], rel=0 if same_bits else 1e-3, abs=0)


def test_json_of_a_fit(same_bits: bool) -> None:
    text, expected = golden.fitted(), VALUES["fit"]
    assert golden.numbers(text) == pytest.approx(expected["numbers"], rel=1e-5, abs=1e-9)
    assert not same_bits or hashlib.sha256(text.encode()).hexdigest() == expected["sha256"]
