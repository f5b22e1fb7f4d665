"""Atoms that are too near each other are found across the cell's boundary, too, as a neighbour list finds them."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.data.graphs.closeness import nearest_images, shortest_distances
from raysweep.data.importing.imports import import_store
from raysweep.data.inspection.summary import summarise
from raysweep.data.structures import Structures

LIMIT = 0.55


def structures(all_atoms: list[Atoms]) -> Structures:
    atoms = sum(len(one) for one in all_atoms)
    return Structures(
        numbers=np.ones(atoms, np.uint8),
        positions=np.concatenate([one.positions for one in all_atoms]).astype(np.float32),
        forces=np.zeros((atoms, 3), np.float32),
        n_atoms=np.array([len(one) for one in all_atoms]),
        energy=np.zeros(len(all_atoms)),
        residual=np.zeros(len(all_atoms), np.float32),
        group=np.array(["x"] * len(all_atoms), dtype=object),
        cell=np.stack([one.cell.array for one in all_atoms]).astype(np.float32),
        pbc=np.stack([one.pbc for one in all_atoms]),
    )


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6), lengths=st.lists(st.floats(0.5, 12), min_size=3, max_size=3), skew=st.floats(0, 0.7),
    pbc=st.lists(st.booleans(), min_size=3, max_size=3), atoms=st.sampled_from([1, 2, 5, 20]),
)  # fmt: skip
def test_distances_are_those_of_a_neighbour_list(
    seed: int, lengths: list[float], skew: float, pbc: list[bool], atoms: int
) -> None:
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(2):
        cell = np.diag(lengths) @ (np.eye(3) + skew * np.tril(rng.normal(size=(3, 3)), -1))
        x = rng.uniform(-1, 2, size=(atoms, 3)) @ cell
        made.append(Atoms(f"H{atoms}", x.astype(np.float32), cell=cell.astype(np.float32), pbc=pbc))
    together = structures(made)
    found, images = shortest_distances(together, LIMIT), nearest_images(together)
    for one, shortest, image in zip(made, found, images, strict=True):
        near = neighbor_list("d", one, LIMIT)
        expected = near.min() if len(near) else np.inf
        if image < LIMIT:
            assert shortest == image >= expected - 1e-4
        elif abs(expected - LIMIT) > 1e-4:
            assert shortest == pytest.approx(expected, abs=1e-4)


FRAME = (
    '2\nLattice="{0} 0 0 0 6 0 0 0 6" pbc="{1}" Properties=species:S:1:pos:R:3:forces:R:3 energy={2}\n'
    "Cu {3} 1 1 0.1 0 0\nCu {4} {5} 1 -0.1 0 0\n"
)


@pytest.mark.parametrize(
    ("frame", "worst"),
    [
        (("6", "T T T", -1, "0.02", "5.97", 1), 0.05),  # across the boundary
        (("6", "T F F", -1, "0.02", "5.97", 1), 0.05),
        (("6", "T T T", -1, "6.02", "-6.03", 1), 0.05),  # cells away from each other
        (("0.4", "T T T", -1, "0.1", "0.3", 4), 0.4),  # an atom and its own image
        (("6", "F F F", -1, "0.02", "5.97", 1), None),
    ],
)
def test_near_atoms_are_named_after_an_import_whatever_their_cell(
    tmp_path: Path, frame: tuple[object, ...], worst: float | None
) -> None:
    good = [FRAME.format("6", "T T T", -2 - i, "1", "4", 1) for i in range(5)]
    (tmp_path / "x.xyz").write_text("".join([*good, FRAME.format(*frame)]))
    store = import_store(tmp_path / "s", [tmp_path / "x.xyz"], group_by="structure")
    (rule,) = (one for one in summarise(store).outliers if "nearer than 0.55" in one.rule)
    assert (rule.count, rule.of) == (0 if worst is None else 1, 6)
    assert rule.worst == (None if worst is None else pytest.approx(worst, abs=1e-5))
    assert [store.read([row]).energy[0] for row in rule.rows] == ([] if worst is None else [-1.0])
