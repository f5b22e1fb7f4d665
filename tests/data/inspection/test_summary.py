"""What a summary counts is what is in the store; outliers are named, and left where they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raysweep.data.inspection import summary
from raysweep.data.inspection.summary import summarise
from raysweep.data.store.manifest import Provenance
from raysweep.data.store.store import Store
from raysweep.data.store.writing import write_store
from raysweep.data.structures import Structures
from raysweep.report.figures.data_summary import data_picture

INVENTED = Provenance(source="changed", licence="none")


def changed(store: Store, place: Path, change: Structures) -> Store:
    assert len(change) == len(store)
    return write_store(place, change, INVENTED, validation_fraction=0.2, seed=0)


def test_counts_are_those_of_the_structures(real_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = real_store.read(np.arange(len(real_store)))
    whole = summarise(real_store)
    assert whole.elements["H"] == int((everything.numbers == 1).sum())
    assert sum(whole.elements.values()) == len(everything.numbers)
    assert sum(whole.n_atoms.counts) == sum(whole.energy.counts) == len(everything)
    assert sum(whole.force.counts) == len(everything.numbers)
    by_size = np.histogram(everything.n_atoms, bins=np.array(whole.n_atoms.edges))[0]
    assert list(whole.n_atoms.counts) == by_size.tolist()
    assert whole.warnings == ()
    monkeypatch.setattr(summary, "AT_ONCE", 17)
    assert summarise(real_store) == whole


def test_outliers_are_named_by_rule_and_stay(real_store: Store, tmp_path: Path) -> None:
    everything = real_store.read(np.arange(len(real_store)))
    energy, forces, positions = (getattr(everything, name).copy() for name in ("energy", "forces", "positions"))
    energy[7] += 500.0
    forces[everything.offsets[11]] = [80.0, 0.0, 0.0]
    positions[everything.offsets[23] + 1] = positions[everything.offsets[23]] + np.float32([0.2, 0.0, 0.0])
    store = changed(real_store, tmp_path / "s", replace(everything, energy=energy, forces=forces, positions=positions))
    far, large, close = summarise(store).outliers
    assert len(store) == len(everything)
    assert energy[7] == store.read([far.rows[0]]).energy[0]
    assert large.count == 1
    assert large.worst == pytest.approx(80.0)
    assert np.linalg.norm(store.read([large.rows[0]]).forces, axis=1).max() == pytest.approx(80.0)
    assert close.count == 1
    assert close.worst == pytest.approx(0.2, abs=1e-5)


@pytest.mark.parametrize(("factor", "unit"), [(1 / 0.529177, "bohr"), (0.1, "nm"), (10.0, "another unit")])
def test_positions_in_another_unit_are_suspected(real_store: Store, tmp_path: Path, factor: float, unit: str) -> None:
    everything = real_store.read(np.arange(len(real_store)))
    positions = (everything.positions * factor).astype(np.float32)
    (warning,) = summarise(changed(real_store, tmp_path / "s", replace(everything, positions=positions))).warnings
    assert f"are the positions in {unit}?" in warning


def test_the_picture_is_a_png(real_store: Store) -> None:
    found = summarise(real_store)
    elements = {f"{symbol}{i}": n for i in range(20) for symbol, n in found.elements.items()}
    shown = [(h.edges, h.counts) for h in (found.n_atoms, found.energy, found.force)]
    picture = data_picture("a title", elements, *shown)
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000
