"""Rounds of `--adaptive`: what is chosen, when it ends, and that a cut changes nothing."""

import math
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console
from serial import KilledError, run_serially
from toy_sweep import Recorder, SpaceMaker

from raysweep.cli.status import sweep_status
from raysweep.core.errors import SpaceError
from raysweep.frontier import fit_families, read_store
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.plan.planner import make_plan
from raysweep.sweep.plan.specs import TrialSpecs
from raysweep.sweep.plan.values import Plan
from raysweep.sweep.preview import plan
from raysweep.sweep.run import run
from raysweep.sweep.space.facts import data_facts
from raysweep.sweep.space.parts import Adaptive
from raysweep.sweep.space.space import Space
from raysweep.sweep.stages.adaptive import Candidate, first_round, next_round
from raysweep.sweep.stages.chooser import ChosenGrid
from raysweep.sweep.stages.rounds import Rounds
from raysweep.sweep.tuning.rates import known_rates

GRID = {"structures": [100, 400, 1600, 6400, 25600], "seeds": [0]}
SIZES = {"a": {"architecture": "toy-a", "sizes": {"width": [1, 2, 4, 8, 16]}}}
RATES = {"rates": {"a": 0.02}}


def candidates(seeds: int = 4) -> list[Candidate]:
    atoms = (1e3, 2e3, 4e3, 8e3, 16e3)
    return [
        Candidate(
            trial_id=f"{n} {seed} {k}",
            size=str(n),
            seed=seed,
            run=f"{n} {seed}",
            params=n,
            atoms=atoms[:k],
            flops=6.0 * n * atoms[k - 1],
        )
        for n in (1000, 2000, 4000, 8000, 16000)
        for seed in range(seeds)
        for k in range(1, 6)
    ]


def points(chosen: list[Candidate], noise: float = 0.003) -> pa.Table:
    rows = [(float(c.params), d, c.seed) for c in chosen for d in c.atoms]
    n, d = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    error = [np.random.default_rng([int(row[0]), int(row[1]), row[2]]).normal() for row in rows]
    loss = (0.1 + 3 * n**-0.4 + 20 * d**-0.4) * np.exp(noise * np.array(error))
    return pa.table({"params": n, "data": d, "flops": 6 * n * d, "loss": loss})


def test_the_first_round_has_every_size_once_at_the_cost_of_the_smallest() -> None:
    chosen = first_round(candidates(), Adaptive(width=0.1)).chosen
    assert [c.params for c in chosen] == [1000, 2000, 4000, 8000, 16000]
    assert {c.flops for c in chosen} == {6.0 * 1000 * 16e3}
    assert {c.seed for c in chosen} == {0}


def test_rounds_end_at_the_width_the_budget_or_the_end_of_the_grid() -> None:
    everything = candidates()

    def ends(settings: Adaptive) -> tuple[str | None, float, tuple[float, float] | None]:
        taken: list[Candidate] = []
        coming = first_round(everything, settings)
        while coming.chosen:
            assert not {c.run for c in taken} & {c.run for c in coming.chosen}
            taken += coming.chosen
            coming = next_round(everything, {c.trial_id for c in taken}, points(taken), settings)
        return coming.ended, math.fsum(c.flops for c in taken), coming.interval

    why, spent, interval = ends(Adaptive(width=0.12))
    assert why == "width"
    assert interval is not None
    assert interval[1] - interval[0] <= 0.12
    narrower, spent_more, _ = ends(Adaptive(width=0.08))
    assert narrower == "width"
    assert spent_more > spent
    assert ends(Adaptive(flops=1.5e9))[:2] == ("flops", pytest.approx(1.5e9, rel=0.4))
    assert ends(Adaptive(width=1e-6))[0] == "grid"
    assert ends(Adaptive(target="optimal_params", at_flops=1e10, width=0.5))[0] == "width"


def test_without_a_usable_fit_a_round_reaches_further() -> None:
    everything = candidates()
    first = first_round(everything, Adaptive(width=0.1)).chosen[:1]
    coming = next_round(everything, {c.trial_id for c in first}, points(list(first)), Adaptive(width=0.1))
    assert coming.interval is None
    assert [c.params for c in coming.chosen] == [1000, 2000, 4000, 8000, 16000]
    assert max(c.flops for c in coming.chosen) <= 2 * first[0].flops
    assert next_round(everything, {first[0].trial_id}, None, Adaptive(width=0.1)).ended == "points"


def test_three_runs_of_which_none_can_be_missed_end_nothing_however_narrow_their_points_make_it() -> None:
    everything = [c for c in candidates() if c.params < 8000]
    long = [c for c in everything if c.seed == 0 and len(c.atoms) == 5]
    named = points(long).append_column("trajectory", [[c.run for c in long for _ in c.atoms]])
    for table, ended in ((points(long), "width"), (named, None)):
        coming = next_round(everything, {c.trial_id for c in long}, table, Adaptive(width=100.0))
        assert coming.ended == ended
    assert [c.params for c in coming.chosen] == [1000, 2000, 4000]
    assert {c.seed for c in coming.chosen} == {1}


def whole_plan(space: Space, store: TrialStore) -> Plan:
    facts = data_facts(space)
    assert facts is not None
    return make_plan(space, facts, known_rates(TrialSpecs.of(space, facts), store))


def adaptive_space(make_space: SpaceMaker, **changes: object) -> Space:
    settings = {"enabled": True, "width": 0.03, "seeds": 6}
    return make_space(families=SIZES, grid=GRID, learning_rate=RATES, **{"adaptive": settings, **changes})


def test_a_cut_anywhere_leads_to_the_same_rounds(make_space: SpaceMaker, tmp_path: Path) -> None:
    def ran(name: str, events: list[int], workers: int) -> list[str]:
        space = adaptive_space(make_space, storage=str(tmp_path / name))
        store = TrialStore(space.storage)
        for count in [*events, 10**9]:
            rounds = Rounds(space, store, lambda _: None)
            stage = ChosenGrid(whole_plan(space, store), Recorder(), rounds, lambda *_: None)
            try:
                run_serially(stage, store, workers=workers, draw=random.Random(count), events=count)
            except KilledError:
                continue
        assert Rounds(space, store, lambda _: None).over(whole_plan(space, store))
        return store.ids()

    straight = ran("straight", [], 2)
    assert len(straight) > 5
    assert ran("cut", [3, 11, 17, 30], 3) == straight


@pytest.mark.usefixtures("one_ray")
def test_an_adaptive_sweep_runs_to_its_width_and_only_then_is_complete(
    make_space: SpaceMaker, console: Console
) -> None:
    space = adaptive_space(make_space)
    first = plan(space)
    assert any("the whole grid would cost" in note for note in first.notes)
    assert not sweep_status(space).complete
    result = run(space, console=console)
    assert result.complete
    assert len(result.plan.trials) > len(first.trials)
    found = fit_families(read_store(space.storage))["a"].interval("a")
    assert found.high - found.low <= 0.03
    assert sum(trial.flops or 0.0 for trial in result.plan.trials) < 0.5 * sum(
        trial.flops or 0.0 for trial in plan(make_space(families=SIZES, grid=GRID, learning_rate=RATES)).trials
    )
    assert run(space, console=console).ran == 0
    plainly = make_space(families=SIZES, grid=GRID, learning_rate=RATES)
    assert sweep_status(plainly).complete  # as the last run took it
    more = run(adaptive_space(make_space, adaptive={"enabled": True, "width": 0.003, "seeds": 6}), console=console)
    assert more.ran > 0
    assert more.complete


def test_what_cannot_be_adaptive_is_refused(make_space: SpaceMaker, console: Console) -> None:
    with pytest.raises(SpaceError, match="give a stopping criterion: `width` of the interval, or `flops`"):
        adaptive_space(make_space, adaptive={"enabled": True})
    with pytest.raises(SpaceError, match="at_flops is required for target: optimal_params"):
        adaptive_space(make_space, adaptive={"width": 0.1, "target": "optimal_params"})
    with pytest.raises(SpaceError, match=r"adaptive.flops: a: not even its cheapest trajectory"):
        plan(adaptive_space(make_space, adaptive={"enabled": True, "flops": 1.0}))
    with pytest.raises(SpaceError, match="needs what sizes cost"):
        run(adaptive_space(make_space, entrypoint="toy_trials:costless"), console=console)
