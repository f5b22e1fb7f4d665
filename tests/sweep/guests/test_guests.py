"""Trials of a user's own training that run one after another in one process: each finds what a first one would."""

import os
import random
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from raysweep.core.errors import RaysweepError
from raysweep.core.trial import NO_DATA, TrialSpec
from raysweep.sweep.engine.trainable import _guest_environment
from raysweep.sweep.guests.entrypoint import entrypoint_cost, load_entrypoint
from raysweep.sweep.guests.protection import preserved_environment


def spec_of(module: str, seed: int = 0) -> TrialSpec:
    return TrialSpec(
        architecture="guest", size={"width": 8}, fingerprint=NO_DATA, structures=1, learning_rate=0.02, seed=seed,
        entrypoint=f"{module}:train",
    )  # fmt: skip


def mask() -> int:
    found = os.umask(0o022)
    os.umask(found)
    return found


CHANGES: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "folder": (lambda: os.chdir("/"), os.getcwd),
    "environment": (os.environ.clear, lambda: dict(os.environ)),
    "path": (sys.path.clear, lambda: list(sys.path)),
    "mask": (lambda: os.umask(0o777), mask),
    "recursion": (lambda: sys.setrecursionlimit(777), sys.getrecursionlimit),
    "filters": (lambda: warnings.simplefilter("always"), lambda: list(warnings.filters)),
    "double": (lambda: torch.set_default_dtype(torch.float64), torch.get_default_dtype),
    "deterministic": (lambda: torch.use_deterministic_algorithms(True), torch.are_deterministic_algorithms_enabled),
    "precision": (lambda: torch.set_float32_matmul_precision("medium"), torch.get_float32_matmul_precision),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_a_trial_changes_of_its_process_the_next_does_not_find(what: str) -> None:
    change, look = CHANGES[what]
    before = look()
    with preserved_environment():
        change()
        assert look() != before
    assert look() == before


def test_places_that_a_trial_added_to_the_path_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    with preserved_environment():
        sys.path.append(str(tmp_path))
    assert sys.path[-1] == str(tmp_path)


def test_what_a_module_sets_when_it_is_imported_all_its_trials_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sets_up.py").write_text(
        "import os, torch\nos.environ['GUEST_DATA'] = 'here'\ntorch.set_default_dtype(torch.float64)\n"
        "os.chdir(os.path.dirname(__file__))\ndef train(spec, store, *, checkpoints, device): yield\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("GUEST_DATA", "nowhere")
    monkeypatch.chdir("/")
    try:
        for _ in range(2):
            with _guest_environment(spec_of("sets_up")):
                found = os.environ["GUEST_DATA"], torch.get_default_dtype(), os.getcwd()
                assert found == ("here", torch.float64, str(tmp_path))
            assert os.getcwd() == "/"
    finally:
        torch.set_default_dtype(torch.float32)


def test_driver_that_imports_a_module_keeps_folder_streams_signals_and_filters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "takes_over.py").write_text(
        "import io, os, signal, sys, warnings\nos.chdir('/')\nsys.stdout = io.StringIO()\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\nsignal.signal(signal.SIGTERM, signal.SIG_DFL)\n"
        "warnings.simplefilter('always')\nFOLDER = []\n"
        "def train(spec, store, *, checkpoints, device): yield\n"
        "def cost(spec, store): FOLDER.append(os.getcwd()); return spec\ntrain.cost = cost\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)

    def look() -> tuple[object, ...]:
        handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        return (os.getcwd(), sys.stdout, list(warnings.filters), *handlers)

    before = look()
    train = load_entrypoint("takes_over:train")
    assert look() == before
    with pytest.raises(RaysweepError, match="its cost"):
        entrypoint_cost(spec_of("takes_over"), None)
    assert train.__globals__["FOLDER"] == ["/"]  # it finds its files where it looked for them
    assert look() == before


def test_global_generators_give_a_trial_the_same_numbers_whatever_ran_before_it() -> None:
    def draw(seed: int) -> tuple[float, float, float]:
        with _guest_environment(spec_of("no_such_module", seed)):
            return random.random(), float(np.random.random()), float(torch.rand(()))  # noqa: NPY002 - as theirs do

    first, other = draw(0), draw(1)
    assert draw(0) == first
    assert all(a != b for a, b in zip(first, other, strict=True))
