"""A trajectory that goes on from the end of a shorter one has the bits that it has by itself."""

import numpy as np
import pytest

from raysweep.core.errors import TrialError
from raysweep.core.trial import OptimizerSpec, TrialSpec
from raysweep.training.cursor import begins_batch, epoch_parts
from raysweep.training.going_on import go_on
from raysweep.training.loop import train
from tests.training.test_loop import but_timed, one_thread  # noqa: F401

WSD = OptimizerSpec(name="wsd", warmup_steps=5)


def trained(spec, store, folder):
    return but_timed(train(spec, store, device="cpu", checkpoints=str(folder)))


def atoms(store, structures):
    return float(store.read(store.subset(structures)).n_atoms.sum())


@pytest.mark.parametrize("optimizer", [OptimizerSpec(warmup_steps=5), WSD], ids=lambda one: one.name)
@pytest.mark.parametrize("new", [True, False], ids=["further structures", "further passes"])
def test_the_longer_run_has_the_bits_that_it_has_by_itself(spec, store, tmp_path, optimizer, new):
    ends = (atoms(store, 60), atoms(store, 100))
    short = spec.model_copy(
        update={"structures": 100, "data_budgets": ends, "flops_budgets": (), "optimizer": optimizer}
    )
    changes = {"structures": 220, "nested": (100,)} if new else {"epochs": 2.2}
    end = atoms(store, 220) if new else 2 * ends[1] + 50
    long = TrialSpec(**{**dict(short), **changes, "data_budgets": (*ends, end)})
    trained(short, store, tmp_path / "short")
    steps = go_on(short, long, store, str(tmp_path / "short"), str(tmp_path / "long"))
    assert steps > 10
    whole = trained(long, store, tmp_path / "whole")
    assert len(whole) == 3
    assert trained(long, store, tmp_path / "long") == whole


def test_each_part_of_a_nested_pass_is_visited_whole_and_later_passes_mix_them(spec):
    nested = TrialSpec(**{**dict(spec), "structures": 50, "nested": (10, 30), "epochs": 1.5})
    parts = epoch_parts(nested, 0)
    assert [sorted(part.tolist()) for part in parts] == [[*range(10)], [*range(10, 30)], [*range(30, 50)]]
    plain = TrialSpec(**{**dict(spec), "structures": 10})
    assert np.array_equal(parts[0], epoch_parts(plain, 0)[0])
    assert np.array_equal(np.concatenate(epoch_parts(nested, 0, 17)), np.concatenate(parts)[17:])
    (second,) = epoch_parts(nested, 1)
    assert len(second) == 25
    sizes = np.full(50, 9)
    assert begins_batch(nested, sizes, 0, 10)  # at the end of a part, whatever is missing to a batch
    assert begins_batch(nested, sizes, 0, 7)
    assert not begins_batch(nested, sizes, 0, 8)


def test_equal_ids_without_nested_and_unordered_ones_refused(spec):
    assert "nested" not in spec.model_dump(mode="json")
    longer = TrialSpec(**{**dict(spec), "nested": (10,)})
    assert longer.trial_id != spec.trial_id
    assert TrialSpec.model_validate_json(longer.model_dump_json()) == longer
    for wrong in ((300,), (20, 10), (10, 10)):
        with pytest.raises(ValueError, match="ascending numbers below structures"):
            TrialSpec(**{**dict(spec), "nested": wrong})


def test_a_run_that_would_not_have_come_by_is_refused(spec, store, tmp_path):
    ends = (atoms(store, 40),)
    short = spec.model_copy(update={"structures": 40, "data_budgets": ends, "flops_budgets": (), "optimizer": WSD})
    target = str(tmp_path / "long")
    long = TrialSpec(**{**dict(short), "structures": 80, "nested": (40,), "data_budgets": (*ends, atoms(store, 80))})
    with pytest.raises(TrialError, match="has no checkpoint to go on from"):
        go_on(short, long, store, str(tmp_path / "short"), target)
    trained(short, store, tmp_path / "short")
    other = TrialSpec(**{**dict(long), "learning_rate": 0.5})
    with pytest.raises(TrialError, match=r"is not trial .* at greater length"):
        go_on(short, other, store, str(tmp_path / "short"), target)
    near = TrialSpec(**{**dict(long), "data_budgets": (ends[0] / 2, *ends)})
    with pytest.raises(TrialError, match=r"would have left its path before .* ask for more structures"):
        go_on(short, near, store, str(tmp_path / "short"), target)
    unmixed = TrialSpec(**{**dict(long), "nested": ()})  # in another order
    with pytest.raises(TrialError, match="at greater length"):
        go_on(short, unmixed, store, str(tmp_path / "short"), target)
