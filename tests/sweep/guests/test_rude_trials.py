"""Trainings that misbehave: the right values or a refusal that says why, and the rest of the sweep goes on."""

import os
import sys
from pathlib import Path

import pytest
import rude_trials
import toy_trials
from rich.console import Console
from toy_sweep import SpaceMaker

from raysweep.core.errors import RaysweepError
from raysweep.core.trial import NO_DATA, TrialSpec, TrialState
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.guests.entrypoint import entrypoint_cost, entrypoint_points, load_entrypoint
from raysweep.sweep.guests.protection import own_streams, preserved_environment
from raysweep.sweep.run import run
from raysweep.sweep.space.space import Space

REFUSED = {
    "none": (1, "yielded None, a NoneType, not a raysweep.core.points.Point; yield Point(...) at each budget"),
    "mapping": (1, "yielded {'loss': 0.1}, a dict"),
    "text": (1, "yielded 'loss=0.1', a str"),
    "number": (1, "yielded 0.1, a float"),
    "array": (1, "a ndarray"),
    "points": (1, "yielded [1, 2], a list"),
    "loss_text": (1, "point 2 has loss='0.3': not a number; it is: validation loss"),
    "loss_none": (1, "loss=None: a number is missing"),
    "loss_complex": (1, "loss=(0.3+0j): not a real number"),
    "loss_array": (1, "loss=array([1., 1., 1.]): an array of shape (3,), not a number"),
    "loss_bool": (1, "loss=True: not a number"),
    "loss_masked": (1, "loss=masked: a number is missing"),
    "loss_masked_array": (1, "a number is missing; it is: validation loss"),
    "loss_absent": (1, "loss=None: a number is missing"),
    "trial_id_absent": (1, "trial_id=None: not "),
    "loss_exits": (1, "called sys.exit(5) at rude_trials.py:"),
    "metric_nan": (1, "energy_mae=nan: not finite; leave out what was not measured"),
    "seconds_inf": (1, "seconds=inf: not finite"),
    "seconds_negative": (1, "seconds=-1.0: must not be negative"),
    "flops_negative": (1, "flops=-1.0: must be above 0"),
    "flops_falls": (1, "flops=1.0: does not rise: it was 3840000 at budget 100; give the training FLOPs since"),
    "flops_zero": (1, "flops=0: must be above 0"),
    "params_half": (1, "params=6400.5: not an integer"),
    "params_change": (1, "params=6401: was 6400 at the point before; give the number of trainable parameters"),
    "params_zero": (1, "params=0: must be above 0"),
    "params_endless": (1, "params=1000000"),
    "memory_wide": (1, "peak_memory=1180591620717411303424: not an integer below 2^63"),
    "step_falls": (1, "step=0: does not rise: it was 1 at budget 100"),
    "unique_above": (1, "unique_data=1000.0: above data 200"),
    "device_object": (1, "not a text; it is: the device's name"),
    "device_long": (1, "longer than 250 characters"),
    "other_trial": (1, "trial_id='ffffffffffffffff': not "),
    "spec_altered": (1, "set trial_id=spec.trial_id"),
    "kind": (1, "budget_kind='tokens': neither 'data' nor 'flops'"),
    "budget_text": (1, "budget='200': not a number"),
    "budget_none": (1, "budget=None: a number is missing"),
    "off_data": (1, "data=260.0: 30% off its budget 200; evaluate within 10% of the budget"),
    "off_short": (1, "data=140.0: 30% off its budget 200"),
    "off_budget": (0, "data=200.0: there was no point at data budget 100; yield a point"),
    "off_both": (0, "data=130.0: there was no point at data budget 100"),
    "reversed": (0, "budget=400.0: comes before the point at data budget 100, 200; yield a point at each of"),
    "skips": (1, "budget=400.0: comes before the point at data budget 200"),
    "twice": (2, "budget=200.0: had a point before"),
    "ends_early": (2, "ended without a point at budget 400. Yield a point"),
    "no_point": (0, "ended without a point at budget 100, 200, 400; the training yielded no point"),
    "returns_none": (0, "returned None, no points; it is called as train(spec, store, *, checkpoints, device)"),
    "returns_point": (0, "returned Point(trial_id="),
    "returns_broken": (0, "iter() returned non-iterator of type 'int'; it is called as train(spec, store"),
    "returns_text": (0, "returned 'done', no points"),
    "coroutine": (0, "returned <coroutine object coroutine"),
    "asynchronous": (0, "returned <async_generator object asynchronous"),
    "exit": (1, "the training called sys.exit(3) at rude_trials.py:"),
    "exit_early": (1, "called sys.exit(None)"),
    "exit_text": (1, "called sys.exit('bye \\udce9')"),
    "argparse": (1, "called sys.exit(2) at rude_trials.py:"),
    "interrupt": (1, "the training raised KeyboardInterrupt: "),
    "generator_exit": (1, "the training raised GeneratorExit: "),
    "own_end": (1, "the training raised OwnEndError: over at rude_trials.py:"),
    "mute": (1, "MuteError: <exception str() failed>"),
    "stuck": (1, "StuckError: holds a lock"),
    "surrogate": (1, "ValueError: caf\\xe9"),
    "long": (1, "ValueError: xxxxx"),
    "stop": (1, "RuntimeError: generator raised StopIteration"),
    "recursion": (1, "RecursionError: maximum recursion depth exceeded"),
    "died": (1, "its worker died 2 times in entrypoint rude_trials:train (os._exit, a crash or a kill)"),
}
"""Points that are kept, and words of the message."""
DIVERGED = {"loss_nan": "the loss is nan after 2", "loss_inf": "the loss is inf after 2", "diverged": "inf at caf\\xe9"}
RIGHT = tuple(how for how in rude_trials.WAYS if how not in {*REFUSED, *DIVERGED})


def space_of(make_space: SpaceMaker, **changes: object) -> Space:
    families = {h: {"architecture": "rude", "sizes": [{"width": 8, "how": h}]} for h in rude_trials.WAYS}
    settings = {"rates": dict.fromkeys(rude_trials.WAYS, 0.02)}
    return make_space(entrypoint="rude_trials:train", families=families, learning_rate=settings, **changes)


@pytest.mark.usefixtures("one_ray")
def test_each_misbehaviour_is_a_refusal_by_name_or_the_right_values_and_others_go_on(
    make_space: SpaceMaker, console: Console
) -> None:
    assert len(REFUSED) + len(DIVERGED) + len(RIGHT) >= 70
    space = space_of(make_space)
    result = run(space, console=console)
    store = TrialStore(space.storage)
    ids = {trial.family: trial.spec.trial_id for trial in result.plan.trials if trial.spec}
    records = {how: store.record(trial_id) for how, trial_id in ids.items()}
    kept = {how: store.points(trial_id).to_pylist() for how, trial_id in ids.items()}

    for how, (count, words) in REFUSED.items():
        record = records[how]
        assert (how, record.state, len(kept[how])) == (how, TrialState.FAILED, count), record.message
        assert words in str(record.message), how
        assert len(str(record.message).encode()) <= 2100, how  # so it is text without surrogates, and short
        assert record.attempt == (2 if how == "died" else 1), "what fails for sure is not tried again"
        if how not in ("mute", "stuck", "surrogate", "long", "stop", "recursion", "died"):
            assert str(record.message).startswith("TrialError: entrypoint"), how
            assert "rude_trials:train" in str(record.message)
            assert "Traceback" not in str(record.message), how
    for how, words in DIVERGED.items():
        assert (how, records[how].state, len(kept[how])) == (how, TrialState.DIVERGED, 1)
        assert words in str(records[how].message)
    good = kept["well"]
    assert [row["budget"] for row in good] == [100.0, 200.0, 400.0]
    own = ("trial_id", "size", "loss")
    for how in RIGHT:
        assert records[how].state == TrialState.DONE, (how, records[how].message)
        spec = store.spec(ids[how])
        assert [{k: v for k, v in row.items() if k not in own} for row in kept[how]] == [
            {k: v for k, v in row.items() if k not in own} for row in good
        ], how
        assert [row["loss"] for row in kept[how]] == [toy_trials.loss_at(spec, d) for d in (100.0, 200.0, 400.0)], how

    again = run(space, console=console)  # no bad point ends it, and nothing that ended well is touched
    assert again.ran == len(REFUSED)
    assert again.states == result.states


def test_what_belongs_to_the_process_is_put_back() -> None:
    here, environment, streams = os.getcwd(), dict(os.environ), (sys.stdout, sys.stderr)
    places = [os.fstat(descriptor).st_ino for descriptor in (1, 2)]
    with preserved_environment(), own_streams():
        rude_trials.leave_folder()
        rude_trials.close_streams()
        os.environ.clear()
    assert (os.getcwd(), dict(os.environ), (sys.stdout, sys.stderr)) == (here, environment, streams)
    assert [os.fstat(descriptor).st_ino for descriptor in (1, 2)] == places


@pytest.mark.parametrize("how", ["tensors", "one_of_each"])
def test_tensors_become_numbers(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def kind(value: float) -> object:
        tensor = torch.tensor(value, dtype=torch.float64, requires_grad=True)
        return tensor if how == "tensors" else tensor.reshape(1, 1)

    monkeypatch.setitem(rude_trials.WAYS, how, rude_trials.all_with(rude_trials.numbers_as(kind)))
    spec = TrialSpec(
        architecture="rude", size={"width": 8, "how": how}, fingerprint=NO_DATA, structures=400,
        data_budgets=(100.0, 200.0, 400.0), learning_rate=0.02, entrypoint="rude_trials:train",
    )  # fmt: skip
    points = list(entrypoint_points(spec, None, "", "cpu"))
    assert [point.loss for point in points] == [toy_trials.loss_at(spec, d) for d in spec.data_budgets]
    assert {type(value) for point in points for value in (point.loss, point.data, point.flops)} == {float}


MODULES = {
    "raise ValueError('no\\nGPU')": r"importing its module raised ValueError: no GPU at NAME\.py:1$",
    "import sys; sys.exit(4)": r"importing its module called sys.exit\(4\) at NAME\.py:1: .*if __name__ == '__main__'",
    "import argparse\np = argparse.ArgumentParser()\np.add_argument('--data', required=True)\np.parse_args()": (
        r"called sys.exit\(2\) at NAME\.py:4: .*\(NAME: error: the following arguments are required: --data\)$"
    ),
    "def train(": r"importing its module raised SyntaxError: .* at NAME\.py:1$",
    "import no_such_module": r"ModuleNotFoundError: No module named 'no_such_module'; the module must be installed",
    "def tain(): pass": r"AttributeError: module 'NAME' has no attribute 'train'",
    "train = 7": r"7 is not a function; it is called as train\(spec, store, \*, checkpoints, device\)",
    "async def train(spec, store, *, checkpoints, device): yield": "is asynchronous; leave `async` out",
    "def train(spec, store): yield": r"has the parameters \(spec, store\): got an unexpected keyword argument",
    "def train(spec, store, *, checkpoints, device, more): yield": "missing a required argument: 'more'",
    "class Stop(BaseException): pass\nraise Stop('x')": r"raised Stop: x at NAME\.py:2",
}


@pytest.mark.parametrize("source", MODULES)
def test_module_that_cannot_be_used_is_refused_in_a_line_before_anything_runs(
    source: str, make_space: SpaceMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, console: Console
) -> None:
    module = f"rude_{abs(hash(source))}"
    (tmp_path / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    space = make_space(entrypoint=f"{module}:train")
    with pytest.raises(RaysweepError, match=MODULES[source].replace("NAME", module)) as refused:
        run(space, console=console)
    assert f"entrypoint '{module}:train'" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert TrialStore(space.storage).ids() == []


def test_module_that_reads_a_command_line_finds_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "reads_arguments.py").write_text(
        "import argparse, sys\np = argparse.ArgumentParser()\np.add_argument('--width', default=8)\n"
        "ARGUMENTS = p.parse_args()\nprint('a word', file=sys.stderr)\n"
        "def train(spec, store, *, checkpoints, device): yield ARGUMENTS\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("sys.argv", ["raysweep", "run", "space.yaml"])
    load_entrypoint("reads_arguments:train")
    assert capsys.readouterr().err == "a word\n"


def test_the_main_module_is_refused() -> None:
    with pytest.raises(RaysweepError, match="'__main__:train': __main__ is another program in each worker"):
        load_entrypoint("__main__:train")


COSTS = {
    "params": (toy_trials.Cost(0, 1.0, 1.0), "params=0: must be above 0"),
    "flops": (toy_trials.Cost(5, float("nan"), 1.0), "flops_per_atom=nan: not finite"),
    "seconds": (toy_trials.Cost(5, 1.0, "1"), "seconds_per_atom='1': not a number"),  # type: ignore[arg-type]
    "memory": (toy_trials.Cost(5, 1.0, 1.0, -1), "peak_memory=-1: must not be negative"),
    "nothing": (None, "returned None, params=None: a number is missing"),
    "mapping": ({"params": 5}, "params=None: a number is missing"),
}


@pytest.mark.parametrize("how", [*COSTS, "exit", "raise"])
def test_cost_that_is_none_is_refused_by_name(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def cost(spec: TrialSpec, store: object) -> object:
        if how == "exit":
            raise SystemExit(1)
        if how == "raise":
            raise ZeroDivisionError("by 0")
        return COSTS[how][0]

    monkeypatch.setattr(rude_trials.train, "cost", cost, raising=False)
    spec = TrialSpec(
        architecture="rude", size={"width": 8}, fingerprint=NO_DATA, structures=1, learning_rate=0.02,
        entrypoint="rude_trials:train",
    )  # fmt: skip
    with pytest.raises(RaysweepError, match=r"^entrypoint 'rude_trials:train': its cost") as refused:
        entrypoint_cost(spec, None)
    words = COSTS[how][1] if how in COSTS else {"exit": "called sys.exit(1)", "raise": "ZeroDivisionError: by 0"}[how]
    assert words in str(refused.value)
    assert "for size {'width': 8}" in str(refused.value)
