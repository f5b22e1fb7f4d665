"""A race across families: its rounds, its budget, its verdict, and that a cut changes nothing."""

import dataclasses
import io
import json
import random
import re
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from serial import KilledError, run_serially
from toy_sweep import Recorder, SpaceMaker, toy_content

import raysweep
from raysweep.cli.status import show_status, sweep_status
from raysweep.cli.sweeps import UNDECIDED_STATUS, choose_family
from raysweep.core.errors import SpaceError
from raysweep.core.trial import TrialState
from raysweep.frontier.decision.verdict import Verdict
from raysweep.storage.race_records import RaceRecord
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.plan.values import Plan
from raysweep.sweep.preview import current_plan, plan
from raysweep.sweep.space.race import parse_budget
from raysweep.sweep.space.resolve import Resolved, resolve
from raysweep.sweep.space.space import Space, as_race
from raysweep.sweep.stages.chooser import ChosenGrid
from raysweep.sweep.stages.race import RaceRounds
from raysweep.sweep.stages.race_budget import Wallet
from raysweep.sweep.stages.race_endings import Endings

AT = 3e8
GRID = {"structures": [400, 1600, 6400, 25600, 102400], "seeds": [0]}
"""Around the optimum at this compute: 660 parameters on 75,000 structures."""
RATES = {"rates": {"a": 0.02, "b": 0.02}}


def family(architecture: str, factor: float, **knobs: object) -> dict[str, object]:
    """A toy family whose loss is a multiple of that of the others."""
    fixed = {"factor": factor, **knobs}
    return {"architecture": architecture, "fixed": fixed, "sizes": {"width": [1, 2, 4, 8, 16]}}


def racing_space(make_space: SpaceMaker, factor: float = 3.0, **changes: object) -> Space:
    families = {"a": family("toy-a", 1.0), "b": family("toy-b", factor)}
    content = {"families": families, "grid": GRID, "learning_rate": RATES, "tracking": {"enabled": False}}
    return make_space(**{**content, **changes})


def written(space: Space, folder: Path) -> str:
    """Write a search space into a file; return its path."""
    path = folder / "space.yaml"
    path.write_text(yaml.safe_dump(json.loads(space.model_dump_json(exclude_unset=True))))
    return str(path)


def planned(space: Space, store: TrialStore) -> tuple[Resolved, Plan]:
    resolved = resolve(space, store)
    return resolved, current_plan(resolved, store, measure=True)


def raced(space: Space, cuts: list[int], workers: int) -> RaceRecord:
    """Race without Ray, cut after so many events each time; return the record in the storage."""
    store = TrialStore(space.storage)
    for count in [*cuts, 10**9]:
        resolved, whole = planned(space, store)
        stage = ChosenGrid(whole, Recorder(), RaceRounds(resolved, store, lambda _: None), lambda *_: None)
        try:
            run_serially(stage, store, workers=workers, draw=random.Random(count), events=count)
        except KilledError:
            continue
    resolved, whole = planned(space, store)
    assert RaceRounds(resolved, store, lambda _: None).over(whole)
    key = RaceRounds(resolved, store, lambda _: None).record.key
    return next(record for record in store.races() if record.key == key)


def test_a_cut_anywhere_leads_to_the_same_rounds_and_the_same_verdict(make_space: SpaceMaker, tmp_path: Path) -> None:
    def race(name: str, cuts: list[int], workers: int) -> RaceRecord:
        space = racing_space(make_space, 1.02, storage=str(tmp_path / name))
        return raced(as_race(space, flops=AT, delta=0.001, budget=4e8), cuts, workers)

    straight = race("straight", [], 2)
    assert len(straight.looks) >= 3
    assert len(straight.verdicts) == len(straight.looks)
    assert straight.ended == "budget"
    cut = race("cut", [0, 3, 17, 26, 30, 33, 36, 60], 3)
    assert (cut.looks, cut.verdicts, cut.ended) == (straight.looks, straight.verdicts, straight.ended)
    assert TrialStore(str(tmp_path / "cut")).ids() == TrialStore(str(tmp_path / "straight")).ids()


def test_a_round_is_in_the_storage_before_its_trials_begin_and_takes_each_run_once(make_space: SpaceMaker) -> None:
    space = as_race(racing_space(make_space), flops=AT)
    store = TrialStore(space.storage)
    resolved, whole = planned(space, store)
    ChosenGrid(whole, Recorder(), RaceRounds(resolved, store, lambda _: None), lambda *_: None)
    (record,) = store.races()
    assert not store.ids()
    (first,) = record.looks
    chosen = [trial for trial in whole.trials if trial.spec is not None and trial.spec.trial_id in first]
    assert len(chosen) == 10
    assert len({(trial.family, str(trial.size), trial.seed) for trial in chosen}) == 10


def test_a_larger_budget_goes_on_with_the_same_looks(make_space: SpaceMaker) -> None:
    space = racing_space(make_space, 1.02)
    small = raced(as_race(space, flops=AT, delta=0.001, budget=2.3e8), [], 2)
    large = raced(as_race(space, flops=AT, delta=0.001, budget=4e8), [], 2)
    assert len(large.looks) > len(small.looks)
    assert large.looks[: len(small.looks)] == small.looks
    assert (small.ended, large.ended) == ("budget", "budget")


def test_trajectories_that_are_there_are_the_first_round_and_no_budget_pays_for_them(make_space: SpaceMaker) -> None:
    space = as_race(racing_space(make_space, 1.02), flops=AT, delta=0.001, budget=4e8)
    first = raced(space, [], 2)
    later = raced(as_race(space, delta=0.0011, budget=1e8), [2], 2)
    assert first.free == ()
    assert set(later.free) == set(later.looks[0]) <= {trial_id for look in first.looks for trial_id in look}
    assert later.looks[1:]
    _, whole = planned(space, TrialStore(space.storage))
    flops = {trial.spec.trial_id: trial.flops or 0.0 for trial in whole.trials if trial.spec is not None}
    assert sum(flops[trial_id] for look in later.looks[1:] for trial_id in look) <= 1e8
    assert sum(flops[trial_id] for trial_id in later.free) > 1e8


@pytest.mark.parametrize(("families", "first"), [({"a"}, 10), ({"a", "b"}, 10 * 4), (set(), 10)])
def test_the_first_round_is_of_all_families(make_space: SpaceMaker, families: set[str], first: int) -> None:
    space = as_race(racing_space(make_space), flops=AT)
    store = TrialStore(space.storage)
    resolved, whole = planned(space, store)
    done = [dataclasses.replace(t, state=TrialState.DONE) if t.family in families else t for t in whole.trials]
    whole = dataclasses.replace(whole, trials=tuple(done))
    chosen = RaceRounds(resolved, store, lambda _: None).chosen(whole).trials
    assert {trial.family for trial in chosen} == {"a", "b"}
    assert len(chosen) == first


def wallet(space: Space, budget: str, *, looks: int = 0, seconds: float = 0.0) -> tuple[Wallet, list[str], list[float]]:
    """A wallet, trials by rising device seconds, and these."""
    _, whole = planned(as_race(space, flops=AT), TrialStore(space.storage))
    trials = sorted(whole.trials, key=lambda trial: trial.device_seconds or 0.0)
    ids = [trial.spec.trial_id for trial in trials if trial.spec is not None]
    record = RaceRecord(flops=AT, delta=0.02, error=0.05, looks=(tuple(ids[:looks]),), begun=(5.0,))
    found = Wallet(parse_budget(budget), dataclasses.replace(whole, slots=2), record, seconds)
    return found, ids, [trial.device_seconds or 0.0 for trial in trials]


def test_device_hours_are_those_of_the_measured_costs(make_space: SpaceMaker) -> None:
    space = racing_space(make_space)
    _, ids, each = wallet(space, "1dh")
    enough, short = (f"{sum(each) / 3600 * factor:.9g}dh" for factor in (1.001, 0.999))
    assert wallet(space, enough)[0].holds(ids)
    room, _, _ = wallet(space, short)
    assert not room.holds(ids)
    assert room.holds(ids[:-1])
    spent, _, _ = wallet(space, enough, looks=len(ids) - 3)
    assert spent.holds(ids[-3:])
    assert not spent.holds([*ids[-3:], ids[-1]])


def test_wall_clock_time_is_predicted_by_the_pace_of_the_rounds_before(make_space: SpaceMaker) -> None:
    space = racing_space(make_space)
    _, ids, each = wallet(space, "1h")
    assert wallet(space, f"{sum(each) / 2 * 1.001:.9g}s")[0].holds(ids), "two at once"
    assert not wallet(space, f"{sum(each) / 2 * 0.999:.9g}s")[0].holds(ids)
    assert not wallet(space, f"{each[-1] * 0.9:.9g}s")[0].holds(ids[-1:]), "no trial is faster than alone"
    pace = 100 / sum(each[:-2])  # 5 s until the first round was chosen, 100 s since then
    enough, short = (f"{105 + factor * pace * sum(each[-2:]):.9g}s" for factor in (1.001, 0.999))
    assert wallet(space, enough, looks=len(ids) - 2, seconds=105.0)[0].holds(ids[-2:])
    assert not wallet(space, short, looks=len(ids) - 2, seconds=105.0)[0].holds(ids[-2:])
    assert not wallet(space, "100s", looks=len(ids) - 2, seconds=105.0)[0].holds(ids[:1]), "the time is spent"


def test_a_budget_that_holds_no_first_round_is_refused_with_what_it_takes(make_space: SpaceMaker) -> None:
    space = racing_space(make_space)
    with pytest.raises(SpaceError, match=r"race.budget: 100000 FLOP: not even the first round fits; the cheapest"):
        plan(as_race(space, flops=AT, budget="100000 FLOP"))
    with pytest.raises(SpaceError, match=r"race.budget: 0.0001s.*not even the first round fits"):
        plan(as_race(space, flops=AT, budget="0.0001s"))
    refused = as_race(space, flops=AT, budget="0.0001s")
    with pytest.raises(SpaceError, match="not even the first round fits"):
        raysweep.run(refused)
    status = sweep_status(space)
    assert any("not even the first round fits" in note for note in status.notes)
    assert not status.complete


def test_families_that_are_one_and_the_same_are_refused(make_space: SpaceMaker) -> None:
    twins = {"a": family("toy-a", 1.0), "b": family("toy-a", 1.0)}
    with pytest.raises(SpaceError, match=r"families.b: it trains the same as a; leave one of them out"):
        plan(as_race(racing_space(make_space, families=twins), flops=AT))


@pytest.mark.parametrize(
    ("race", "said"),
    [
        ({}, "at_flops: missing: the compute at which families are compared"),
        ({"at_flops": -1.0}, r"'race.at_flops=-1.0': race.at_flops: Input should be greater than 0, not -1"),
        ({"at_flops": AT, "budget": "10"}, r"'race.budget=10': race.budget: 10 without a unit would be 10 FLOPs"),
        ({"at_flops": AT, "delta": 5.0}, r"'race.delta=5.0': race.delta: Input should be less than 1, not 5"),
        ({"at_flops": AT, "error": 0.9}, r"'race.error=0.9': race.error: Input should be less than 0.5, not 0.9"),
    ],
)
def test_an_option_without_a_meaning_is_named(
    make_space: SpaceMaker, tmp_path: Path, race: dict[str, object], said: str
) -> None:
    path = written(racing_space(make_space), tmp_path)
    with pytest.raises(SpaceError, match=said):
        choose_family(path, [], None, race, as_json=False)
    assert not (tmp_path / "sweep").exists()


@pytest.mark.usefixtures("one_ray")
def test_the_better_family_is_named_and_a_second_call_trains_nothing(
    make_space: SpaceMaker, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said = io.StringIO()
    console = Console(file=said, width=160)
    space = racing_space(make_space, learning_rate={**toy_content(tmp_path)["learning_rate"], "rates": {"a": 0.02}})  # type: ignore[dict-item]
    result = raysweep.choose(space, AT, console=console)
    assert result.verdict is not None
    assert (result.verdict.kind, result.verdict.families) == ("best", ("a",))
    assert result.decided
    assert result.ended == "decided"
    assert result.sweep.complete
    assert "b" in result.verdict.out
    assert "a is best at 3e+08 FLOPs" in said.getvalue()
    again = raysweep.choose(space, AT, console=console)
    assert again.sweep.ran == 0
    assert (again.verdict, again.seconds) == (result.verdict, result.seconds)

    status = sweep_status(space)  # as the last run took it
    assert status.complete
    (race,) = status.races
    assert race.verdict == result.verdict.to_dict()
    path = written(space, tmp_path)
    capsys.readouterr()
    show_status(path, [], as_json=False)
    assert "a is best at 3e+08 FLOPs." in capsys.readouterr().out
    assert choose_family(path, [], None, {"at_flops": AT}, as_json=True) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["decided"] is True
    assert Verdict.from_dict(printed["verdict"]) == result.verdict
    page = (Path(space.storage) / "report" / "report.html").read_text()
    assert "Which family is best at" in page
    assert "a is best at 3e+08 FLOPs." in page
    assert json.loads((Path(space.storage) / "report" / "verdict.json").read_text()) == printed["verdict"]


@pytest.mark.usefixtures("one_ray")
def test_an_undecided_race_has_its_exit_status_and_others_in_the_storage_stay(
    make_space: SpaceMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = racing_space(make_space, 1.02)
    path = written(space, tmp_path)
    race = {"at_flops": AT, "delta": 0.001, "budget": "2e8"}
    assert choose_family(path, [], None, race, as_json=False) == UNDECIDED_STATUS
    said = capsys.readouterr().out
    assert "Undecided at 3e+08 FLOPs between a and b" in said
    assert "it ended: no further trajectory fits into the budget" in said
    assert choose_family(path, [], None, {**race, "at_flops": 2 * AT}, as_json=False) == UNDECIDED_STATUS
    races = TrialStore(space.storage).races()
    assert [record.flops for record in races] == [AT, 2 * AT]
    trained = {trial_id for look in races[0].looks for trial_id in look}
    assert races[1].looks[0] == races[1].free, "trials are shared"
    assert set(races[1].free) <= trained
    show_status(path, [], as_json=False)
    assert capsys.readouterr().out.count("Undecided at") >= 2


@pytest.mark.usefixtures("one_ray")
def test_families_that_cannot_compete_are_named_not_left_out_in_silence(
    make_space: SpaceMaker, console: Console, tmp_path: Path
) -> None:
    half = [{"width": width, "how": "broken" if width > 2 else ""} for width in (1, 2, 4, 8)]
    known = dict.fromkeys(("a", "b", "broken", "half"), 0.02)
    families = {
        "a": family("toy-a", 1.0),
        "b": family("toy-b", 3.0),
        "broken": family("toy-c", 1.0, how="broken"),
        "wild": family("toy-d", 1.0, how="diverge"),
        "half": {**family("toy-e", 1.0), "sizes": half},
    }
    rates = {**toy_content(tmp_path)["learning_rate"], "widenings": 0, "rates": known}  # type: ignore[dict-item]
    space = racing_space(make_space, families=families, learning_rate=rates, resources={"cpu": 1, "max_failures": 0})
    result = raysweep.choose(space, AT, console=console)
    assert result.verdict is not None
    assert (result.verdict.kind, result.verdict.families) == ("best", ("a",))
    assert result.verdict.unfit["wild"] == "no learning rate was found"
    assert result.verdict.unfit["broken"] == "none of its trajectories came to its end: 5 failed"
    assert "broken: no usable fit: none of its trajectories" in str(result)
    said = result.verdict.unfit["half"]
    assert re.match(r"\d+ failed of \d+ trajectories, and the others give no law: two_sizes_only: ", said)


def test_a_family_without_a_fit_is_given_up_once_half_of_many_trajectories_failed() -> None:
    done, failed, diverged = TrialState.DONE, TrialState.FAILED, TrialState.DIVERGED
    endings = Endings({"a": [done] * 5, "b": [done, done, failed, diverged], "c": [done] * 3 + [failed] * 3, "d": None})
    assert endings.hopeless() == {"d": "no learning rate was found"}
    unfit = {"b": "few sizes", "c": "few sizes", "a": "few sizes"}
    assert endings.beyond_hope(unfit, last=False) == {
        "c": "3 failed of 6 trajectories, and the others give no law: few sizes"
    }
    assert endings.beyond_hope(unfit, last=True).keys() == {"b", "c"}, "a lost nothing: it may still get its fit"
    assert endings.beyond_hope({}, last=True) == {}


def test_no_run_begins_once_the_wall_clock_budget_is_spent(make_space: SpaceMaker) -> None:
    space = as_race(racing_space(make_space, 1.02), flops=AT, delta=0.001, budget="1h")
    store = TrialStore(space.storage)
    resolved, whole = planned(space, store)
    said: list[str] = []
    rounds = RaceRounds(resolved, store, said.append)
    stage = ChosenGrid(whole, Recorder(), rounds, lambda *_: None)
    (first,) = rounds.record.looks
    begun = [stage.next_trial(), stage.next_trial()]
    rounds.clock._began -= 3601  # the machine was busy
    assert stage.next_trial() is None
    assert said[-1] == "the time is spent: 8 trajectories of this round not begun, and left out"
    assert set(rounds.record.looks[0]) == {spec.trial_id for spec in begun if spec is not None} < set(first)
    assert not stage.finished, "two of them run"
    assert TrialStore(space.storage).races()[0].looks == rounds.record.looks


def test_a_first_round_of_which_nothing_has_begun_is_kept(make_space: SpaceMaker) -> None:
    space = as_race(racing_space(make_space, 1.02), flops=AT, budget="1h")
    store = TrialStore(space.storage)
    resolved, whole = planned(space, store)
    rounds = RaceRounds(resolved, store, lambda _: None)
    stage = ChosenGrid(whole, Recorder(), rounds, lambda *_: None)
    looks = rounds.record.looks
    rounds.clock._began -= 3601
    assert stage.next_trial() is not None
    assert rounds.record.looks == looks


@pytest.mark.usefixtures("one_ray")
def test_a_race_counts_inference_and_says_so(make_space: SpaceMaker, tmp_path: Path) -> None:
    path = written(racing_space(make_space), tmp_path)
    assert choose_family(path, [], None, {"at_flops": AT, "inference_steps": 1e4}, as_json=False) == 0
    storage = Path(yaml.safe_load(Path(path).read_text())["storage"])
    (race,) = TrialStore(str(storage)).races()
    assert race.inference_steps == 1e4
    verdict = Verdict.from_dict(race.verdicts[-1])
    assert (verdict.kind, verdict.families, verdict.inference_steps) == ("best", ("a",), 1e4)
    assert verdict.assumed["a"].startswith("inference is taken as a third of the training FLOPs")
    page = (storage / "report" / "report.html").read_text()
    assert "<h2>Which family is best at 3e+08 FLOPs of training and 1e+04 atom-steps of inference</h2>" in page
