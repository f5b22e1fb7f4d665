"""Going on from a trajectory that has ended: its checkpoint as the longer trajectory would have written it there."""

from collections.abc import Mapping
from dataclasses import replace

from raysweep.core.errors import TrialError
from raysweep.core.trial import TrialSpec
from raysweep.data.store.store import Store
from raysweep.training.checkpoint import Checkpoint, newest, save
from raysweep.training.cursor import begins_batch

_LONGER = ("structures", "nested", "epochs", "data_budgets")
"""Fields in which a longer trajectory differs."""


def go_on(short: TrialSpec, long: TrialSpec, store: Store, source: str, target: str) -> int:
    """Write the newest checkpoint of a trajectory as a checkpoint of a longer one.

    The longer one then continues from it, and has the same bits as without it.

    Args:
        short: the trajectory that has ended.
        long: one that begins like it: with more passes over the same subset, or with further structures after it
            (`TrialSpec.nested`), and with further data budgets.
        store: the structures.
        source: folder of the checkpoints of `short`.
        target: folder for that of `long`.

    Returns:
        Optimizer steps that the checkpoint saves.

    Raises:
        TrialError: there is no checkpoint, or `long` would not have come by it; says why.
    """
    found, skipped = newest(source, short.trial_id)
    if found is None:
        why = f" ({'; '.join(skipped)})" if skipped else ""
        raise TrialError(f"trial {short.trial_id} has no checkpoint to go on from in {source}{why}")
    nested = short.nested if long.structures == short.structures else (*short.nested, short.structures)
    alike = long.model_copy(update={name: getattr(short, name) for name in _LONGER}) == short
    if not alike or long.nested != nested:
        raise TrialError(f"trial {long.trial_id} is not trial {short.trial_id} at greater length")
    path = _moved(found.numbers["progress"], short, long)
    numbers: dict[str, object] = {**found.numbers, "progress": path}
    trunk = found.numbers.get("trunk")
    if isinstance(trunk, Mapping):  # on a branch of wsd, which the longer run leaves
        path = _moved(trunk["progress"], short, long)
        numbers["trunk"] = {**trunk, "progress": path}
    _check(found, path, short, long, store)
    save(
        target,
        replace(
            found,
            trial_id=long.trial_id,
            numbers=numbers,
            points=tuple(replace(point, trial_id=long.trial_id) for point in found.points),
        ),
    )
    return found.step


def _moved(progress: object, short: TrialSpec, long: TrialSpec) -> dict[str, object]:
    """Return the progress with its position in the data of the longer trajectory."""
    assert isinstance(progress, Mapping)
    moved = dict(progress)
    if long.structures != short.structures and moved["epoch"] == 1 and moved["visited"] == 0:
        moved |= {"epoch": 0, "visited": short.structures}
    return moved


def _check(found: Checkpoint, path: Mapping[str, object], short: TrialSpec, long: TrialSpec, store: Store) -> None:
    """Refuse a checkpoint that the longer trajectory would not have written.

    Args:
        found: the checkpoint.
        path: progress on the path that is continued: of a branch of wsd, its trunk.
        short: the trajectory that has ended.
        long: the longer one.
        store: the structures.
    """
    epoch, visited, atoms = int(str(path["epoch"])), int(str(path["visited"])), float(str(path["atoms"]))
    n_atoms = store.n_atoms(store.subset(long.structures))
    if (epoch and long.structures != short.structures) or not begins_batch(long, n_atoms, epoch, visited):
        raise TrialError(
            f"trial {short.trial_id} ends within a batch of the longer run, or has begun to repeat its structures: go "
            "on to more passes over the same structures from a whole pass, or train the longer model by itself"
        )
    done = {point.budget for point in found.points if point.budget_kind == "data"}
    wsd = long.optimizer.name == "wsd"
    begin = 1 - long.optimizer.decay_share if wsd else 1.0
    passed = [budget for budget in long.data_budgets if budget not in done and begin * budget <= atoms]
    open_flops = {point.budget for point in found.points if point.budget_kind == "flops"} ^ {*long.flops_budgets}
    if passed or (wsd and open_flops):
        raise TrialError(
            f"trial {short.trial_id}: the longer run would have left its path before {atoms:g} atoms for the budget of "
            f"{min(passed) if passed else min(open_flops):g}; ask for more structures"
        )
