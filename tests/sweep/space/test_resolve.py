"""What space runs: in which order a search space is completed, and what stays unknown."""

from pathlib import Path

import pytest
from toy_sweep import SpaceMaker

from raysweep.core.errors import SpaceError
from raysweep.data.generation.xtb import make_store
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.space.facts import data_facts
from raysweep.sweep.space.identity import as_last_run, write_identity
from raysweep.sweep.space.parts import Adaptive
from raysweep.sweep.space.resolve import resolve
from raysweep.sweep.space.space import Space

MPNN = {
    "entrypoint": None,
    "families": {"a": {"architecture": "mpnn", "sizes": {"width": [8, 16]}}},
    "learning_rate": {"rates": {"a": 0.02}},
    "training": {"batch_atoms": 32},
}


def with_data(make_space: SpaceMaker, folder: Path, **changes: object) -> Space:
    data = {"store": str(folder), "make": {"structures": 60}, "validation_structures": 5}
    return make_space(**{**MPNN, "grid": {"structures": [10, 40]}, "data": data, **changes})


def make(space: Space) -> None:
    assert space.data is not None
    make_store(space.data.store, structures=60, workers=1)


def test_data_is_made_once_and_what_depends_on_it_is_unknown_until_then(make_space: SpaceMaker, tmp_path: Path) -> None:
    space, made = with_data(make_space, tmp_path / "data"), list[Space]()
    store = TrialStore(space.storage)
    before = resolve(space, store)
    assert before.facts is None
    assert before.unknown is not None
    assert before.unknown.startswith("data to be made: 60 structures of preset ")
    assert before.unknown.endswith(f"seed 0, {tmp_path / 'data'}")

    def making(space: Space) -> None:
        made.append(space)
        make(space)

    for _ in range(2):
        after = resolve(space, store, make_data=making)
        assert after.unknown is None
        assert after.facts is not None
        assert after.facts.fingerprint != "none"
    assert len(made) == 1


def test_ladders_become_widths_and_atoms_become_structures_of_the_data_that_was_made(
    make_space: SpaceMaker, tmp_path: Path
) -> None:
    families = {"a": {"architecture": "mpnn", "sizes": {"params": {"from": 2e3, "to": 2e4, "steps": 3}}}}
    space = with_data(make_space, tmp_path / "data", families=families, grid={"atoms": [100, 300]})
    resolved = resolve(space, TrialStore(space.storage), make_data=make)
    assert resolved.space.families["a"].ladder is None
    widths = [int(size["width"]) for size in resolved.space.families["a"].sizes]
    assert len(widths) == 3
    assert widths == sorted(widths)
    assert resolved.space.grid.atoms == ()
    assert resolved.facts is not None
    first, last = resolved.space.grid.structures
    assert resolved.facts.atoms(first - 1, last) < 100 <= resolved.facts.atoms(first, last)
    assert resolved.facts.atoms(last - 1, last) < 300 <= resolved.facts.atoms(last, last)
    with pytest.raises(SpaceError, match=r"toy\.yaml:\d+: grid\.device_hours: "):  # its lines are still known
        raise resolved.space.error(("grid", "device_hours"), "no")


def test_a_storage_of_another_sweep_is_refused_before_data_is_made(make_space: SpaceMaker, tmp_path: Path) -> None:
    other = make_space()
    facts = data_facts(other)
    assert facts is not None
    write_identity(TrialStore(other.storage), other, facts)
    space = with_data(make_space, tmp_path / "data", name="mine")
    with pytest.raises(SpaceError, match="holds the sweep 'toy', and this one is 'mine'"):
        resolve(space, TrialStore(space.storage), make_data=lambda _: pytest.fail("made"))


def test_an_unknown_architecture_is_named_by_its_key_before_its_ladder_is_solved(
    make_space: SpaceMaker, tmp_path: Path
) -> None:
    families = {"a": {"architecture": "mpnnn", "sizes": {"params": {"from": 2e3, "to": 2e4, "steps": 3}}}}
    space = with_data(make_space, tmp_path / "data", families=families)
    with pytest.raises(SpaceError, match=r"families\.a\.architecture: "):
        resolve(space, TrialStore(space.storage), make_data=make)


def test_the_rounds_of_the_last_run_are_taken_where_this_one_is_the_same_sweep(make_space: SpaceMaker) -> None:
    space = make_space()
    store, facts = TrialStore(space.storage), data_facts(space)
    assert facts is not None
    assert as_last_run(space, store) == space
    adaptive = space.model_copy(update={"adaptive": Adaptive(enabled=True, width=0.1)})
    write_identity(store, adaptive, facts)
    assert as_last_run(space, store).adaptive == adaptive.adaptive
    other = space.model_copy(update={"name": "other"})
    assert as_last_run(other, store) == other
