"""Graphs of periodic structures are kept beside the store, and are those that would be made anew."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from invented import invent

from raysweep.data.graphs.batches import GraphSet, StoreRows, load_graphs
from raysweep.data.graphs.cached import cached_graphs
from raysweep.data.store.manifest import Provenance
from raysweep.data.store.store import Store, open_store
from raysweep.data.store.writing import write_store

CUTOFF = 3.0


@pytest.fixture
def periodic(tmp_path: Path) -> Store:
    structures = invent(60, groups=12, periodic=True)
    assert structures.cell is not None
    cells = np.eye(3, dtype=np.float32) * 3.5 + structures.cell * 0.2
    return write_store(
        tmp_path / "s", replace(structures, cell=cells), Provenance(source="invented", licence="none"),
        validation_fraction=0.25, seed=0, structures_per_shard=16,
    )  # fmt: skip


def _batches(graphs: GraphSet) -> list[dict[str, torch.Tensor]]:
    order = np.random.default_rng(0).permutation(len(graphs))
    made = graphs.batches(order, 12, torch.device("cpu"), torch.float32)
    return [dict(vars(batch)) for _, batch in made]


def test_kept_graphs_are_those_made_anew(periodic: Store) -> None:
    rows = periodic.subset(40)
    anew = _batches(GraphSet(source=StoreRows(periodic, rows), cutoff=CUTOFF))
    loaded = load_graphs(periodic, rows, CUTOFF)
    assert loaded.graphs is not None
    kept = _batches(loaded)
    assert len(kept) == len(anew) > 5
    for mine, theirs in zip(kept, anew, strict=True):
        assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    assert sum(len(batch["senders"]) for batch in kept) > 500
    edges = np.diff([0, *np.cumsum(loaded.n_edges)])
    assert edges.tolist() == GraphSet(source=StoreRows(periodic, rows), cutoff=CUTOFF).n_edges.tolist()


def test_they_are_made_once_and_made_again_where_torn(periodic: Store) -> None:
    rows = periodic.subset(40)
    first = cached_graphs(periodic, rows, CUTOFF)
    folders = sorted(path for path in (Path(periodic.location) / "graphs").iterdir() if path.is_dir())
    assert first is not None
    assert len(folders) == 3
    before = {file: file.stat().st_mtime_ns for folder in folders for file in folder.iterdir()}
    cached_graphs(open_store(periodic.location), rows, CUTOFF)
    assert {file: file.stat().st_mtime_ns for file in before} == before
    torn = folders[1] / "senders"
    whole = torn.read_bytes()
    torn.write_bytes(whole[:-2])
    cached_graphs(periodic, rows, CUTOFF)
    assert torn.read_bytes() == whole
    assert cached_graphs(periodic, rows, 2.0) is not None
    assert len([path for path in (Path(periodic.location) / "graphs").iterdir() if path.is_dir()]) == 6
    open_store(periodic.location).check()


def test_none_are_kept_where_that_does_not_pay(
    periodic: Store, real_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cached_graphs(real_store, real_store.subset(50), CUTOFF) is None
    assert cached_graphs(periodic, periodic.subset(3), CUTOFF) is None
    monkeypatch.setenv("RAYSWEEP_GRAPHS_GIB", "0")
    assert cached_graphs(periodic, periodic.subset(40), CUTOFF) is None
    assert not (Path(periodic.location) / "graphs").exists()
