"""Budgets in atoms are exact: counted over the structures that a trajectory sees."""

from pathlib import Path

import numpy as np
import pytest
from toy_sweep import SpaceMaker

from raysweep.core.errors import SpaceError
from raysweep.sweep.space.facts import data_facts, in_structures
from tests.kept_workers import KeptWorkers


def test_atoms_of_budgets_are_those_of_the_stores_subsets(
    make_space: SpaceMaker, tmp_path: Path, kept_workers: KeptWorkers
) -> None:
    from raysweep.data.generation.xtb import make_store

    location = str(tmp_path / "data")
    make = {"structures": 40, "seed": 3}
    data = {"store": location, "make": make, "validation_structures": 2}
    rate = {"low": 1e-3, "high": 1e-1, "structures": 15}
    space = make_space(data=data, grid={"structures": [5, 20], "epochs": 2}, learning_rate=rate)
    assert data_facts(space) is None  # not made yet, and a recipe is there
    store = make_store(location, structures=40, seed=3, pool=kept_workers)
    facts = data_facts(space)
    assert facts is not None
    assert facts.fingerprint == store.manifest.fingerprint
    assert facts.structures == store.manifest.train_structures
    atoms = store.read(store.subset(15)).n_atoms
    assert facts.atoms(5, 10) == atoms[:5].sum()
    assert facts.atoms(20, 10) == 2 * atoms[:10].sum()
    assert facts.atoms(15, 15) == atoms.sum()
    assert np.all(np.diff([facts.atoms(n, 15) for n in range(1, 16)]) == atoms[1:])

    wanted = [int(atoms[:5].sum()), int(atoms[:7].sum()) + 1, 2 * int(atoms[:10].sum())]
    by_atoms = make_space(data=data, grid={"atoms": wanted, "epochs": 2}, learning_rate=rate)
    assert in_structures(by_atoms.grid, data_facts(by_atoms), by_atoms.error).structures == (5, 8, 20)
    with pytest.raises(SpaceError, match=r"toy.yaml:\d+: grid.atoms: .* known only once there is a structure store"):
        in_structures(by_atoms.grid, None, by_atoms.error)
    too_many = make_space(data=data, grid={"atoms": [1e9]}, learning_rate=rate)
    with pytest.raises(SpaceError, match=r"grid.atoms: 1e\+09 atoms in 1 epochs need 1e\+09 different ones"):
        in_structures(too_many.grid, data_facts(too_many), too_many.error)

    small = make_space(entrypoint=None, data=data, grid={"structures": [1, 20]}, learning_rate=rate)
    with pytest.raises(SpaceError, match=r"training\.batch_atoms: a batch of 128 atoms is more than the smallest data"):
        data_facts(small)

    for key, wanted, found in [("preset", "reactive", "small-organics"), ("structures", 60, 40), ("seed", 0, 3)]:
        other = make_space(data={**data, "make": {**make, key: wanted}}, learning_rate=rate)
        with pytest.raises(SpaceError, match=rf"toy.yaml:\d+: data.make.{key}: {wanted} is asked .* with {found};"):
            data_facts(other)

    space = make_space(data={**data, "validation_structures": 30}, learning_rate=rate)
    with pytest.raises(SpaceError, match=r"data.validation_structures: 30 were asked for, the store has \d+"):
        data_facts(space)


def test_recipe_that_makes_too_few_is_refused_before_it_is_made(make_space: SpaceMaker, tmp_path: Path) -> None:
    data = {"store": str(tmp_path / "data"), "make": {"structures": 400}}
    with pytest.raises(SpaceError, match=r"data.make.structures: 400 leave about 360 .* the largest subset needs 400"):
        data_facts(make_space(data=data))


def test_absent_store_without_a_recipe_is_an_error_with_its_line(make_space: SpaceMaker, tmp_path: Path) -> None:
    space = make_space(data={"store": str(tmp_path / "nowhere")})
    with pytest.raises(SpaceError, match=r"toy.yaml:\d+: data.store: .*add data.make"):
        data_facts(space)


def test_a_recipe_that_holds_out_too_few_is_refused_before_it_is_made(make_space: SpaceMaker, tmp_path: Path) -> None:
    data = {"store": str(tmp_path / "absent"), "make": {"structures": 2000}, "validation_structures": 600}
    with pytest.raises(SpaceError, match=r"data\.validation_structures: 600 were asked for, .* hold out about 200"):
        data_facts(make_space(data=data))
