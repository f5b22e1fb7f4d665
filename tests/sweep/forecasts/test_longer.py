"""`train --go-on`: a trial of a sweep that has ended, continued to more structures."""

from dataclasses import replace
from pathlib import Path

import pytest
from finished_sweep import make_store, write_space

from raysweep.core.errors import RaysweepError, TrialError
from raysweep.core.points import TIMED, from_table
from raysweep.core.trial import OptimizerSpec, TrialSpec, TrialState
from raysweep.data.store.store import open_store
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.forecasts.longer import _check, give_checkpoint
from raysweep.sweep.forecasts.models import ModelRequest, plan_model
from raysweep.sweep.plan.planner import make_plan
from raysweep.sweep.plan.specs import TrialSpecs
from raysweep.sweep.space.facts import data_facts
from raysweep.sweep.space.identity import write_identity
from raysweep.sweep.space.space import Space, load_space
from raysweep.sweep.tuning.rates import known_rates


def train_here(store: TrialStore, spec: TrialSpec, data: str) -> None:
    """Train a trial in this process, as a worker does."""
    from raysweep.training.loop import train

    claim = store.begin(spec)
    points = list(train(spec, open_store(data), checkpoints=store.take_checkpoints(claim), device="cpu"))
    store.end(claim, TrialState.DONE, points)


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Space:
    """A sweep of one trial."""
    folder = tmp_path_factory.mktemp("longer")
    data = str(make_store(folder / "data", 0))
    space = load_space(
        write_space(
            folder / "space.yaml",
            folder / "sweep",
            entrypoint=None,
            data={"store": data, "validation_structures": 10},
            families={"a": {"architecture": "egnn", "sizes": {"width": [4]}, "fixed": {"depth": 1}}},
            grid={"structures": [30, 60]},
            training={"batch_atoms": 16},
            tracking={"enabled": False},
        )
    )
    store, facts = TrialStore(space.storage), data_facts(space)
    assert facts is not None
    plan = make_plan(space, facts, known_rates(TrialSpecs.of(space, facts), store), measure=False)
    (spec,) = (trial.spec for trial in plan.trials)
    assert spec is not None
    train_here(store, spec, data)
    write_identity(store, space, facts)
    store.write_assignments(plan.assignments())
    return space


def test_a_trial_goes_on_to_further_structures_with_the_bits_of_the_longer_run(space: Space, tmp_path: Path) -> None:
    store = TrialStore(space.storage)
    (short,) = store.ids()
    planned = plan_model(space, ModelRequest(go_on=short[:6], structures=150))
    assert planned.goes_on == short
    assert (planned.spec.nested, planned.spec.structures, planned.structures) == ((60,), 150, 150)
    assert planned.spec.data_budgets == (60.0, 120.0, 300.0)
    assert planned.rate.rate == 0.02
    assert any("goes on from trial" in note for note in planned.notes)
    assert any("no forecast of it" in note for note in planned.notes)  # two points tell no law

    assert space.data is not None
    whole = TrialStore(str(tmp_path / "whole"))
    train_here(whole, planned.spec, space.data.store)
    steps = give_checkpoint(space, store, short, planned.spec)
    assert steps == from_table(store.points(short))[-1].step
    train_here(store, planned.spec, space.data.store)
    found, expected = (from_table(one.points(planned.spec.trial_id)) for one in (store, whole))
    timed = dict.fromkeys(TIMED)
    assert [replace(point, **timed) for point in found] == [replace(point, **timed) for point in expected]
    assert give_checkpoint(space, store, short, planned.spec) is None  # it has begun

    repeated = plan_model(space, ModelRequest(go_on=short, structures=600))  # the store has 270
    assert (repeated.spec.nested, repeated.spec.structures, repeated.spec.epochs) == ((), 60, 10.0)


def test_what_cannot_be_gone_on_with_is_named(space: Space) -> None:
    store = TrialStore(space.storage)
    short = next(one for one in store.ids() if not store.spec(one).nested)
    for request, message in (
        (ModelRequest(go_on="zz", structures=100), "trial 'zz': there is no such trial"),
        (ModelRequest(go_on=short, structures=60), r"has seen 60 structures: give more"),
        (ModelRequest(go_on=short), "needs the structures seen by the end"),
        (ModelRequest(go_on=short, structures=100, family="a"), "and names the rest"),
    ):
        with pytest.raises(RaysweepError, match=message):
            plan_model(space, request)
    facts, spec = data_facts(space), store.spec(short)
    assert facts is not None
    for changes, message in (
        ({"entrypoint": "mine:train"}, "a training of mine:train"),
        ({"optimizer": OptimizerSpec(name="cosine")}, "cosine has fallen to 0"),
        ({"fingerprint": "0" * 64}, "on other structures"),
        ({"seed": 9}, "it is planned, not done"),
    ):
        with pytest.raises(TrialError, match=message):
            _check(spec.model_copy(update=changes), store, facts)
