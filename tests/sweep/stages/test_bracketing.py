"""Rounds of `grid.design: auto`: they bracket N* at every budget, narrow, end, resume, and refuse what cannot be."""

import dataclasses
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
from raysweep.frontier import design_outlook
from raysweep.frontier.design.planned import PlannedPoints, brackets
from raysweep.frontier.laws.laws import CostModel, Surface
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.plan.planner import make_plan
from raysweep.sweep.plan.specs import TrialSpecs
from raysweep.sweep.plan.values import Plan
from raysweep.sweep.preview import plan
from raysweep.sweep.run import run
from raysweep.sweep.space.parts import Adaptive
from raysweep.sweep.space.resolve import resolve
from raysweep.sweep.space.space import Space
from raysweep.sweep.stages.adaptive import Candidate, Round
from raysweep.sweep.stages.brackets.bracketing import next_bracketing_round, pilot, refusal
from raysweep.sweep.stages.brackets.state import Aim
from raysweep.sweep.stages.chooser import ChosenGrid
from raysweep.sweep.stages.rounds import Rounds
from raysweep.sweep.tuning.rates import known_rates

COST = CostModel(log_kappa=float(np.log(6)), params_power=1.0, data_power=1.0)
LAW = Surface(E=0.02, log_A=float(np.log(9.0)), alpha=0.45, log_B=float(np.log(60.0)), beta=0.5, cost=COST)
SIZES = [round(n) for n in np.geomspace(300, 3e5, 10)]
DATA = 3.2e7 / 2.0 ** np.arange(12)[::-1]
BUDGETS = (1e10, 3e10, 1e11, 3e11)


def candidates(seeds: int = 6, budgets: tuple[float, ...] = BUDGETS) -> list[Candidate]:
    found = []
    for n in SIZES:
        stops = sorted({*DATA, *(c / 6 / n for c in budgets if c / 6 / n <= DATA[-1])})
        found += [
            Candidate(
                trial_id=f"{n} {seed} {end}", size=str(n), seed=seed, run=f"{n} {seed}", params=n,
                atoms=tuple(stops[:end]), flops=6.0 * n * stops[end - 1],
            )
            for seed in range(seeds)
            for end in range(1, len(stops) + 1)
        ]  # fmt: skip
    return found


def points(chosen: list[Candidate], law: Surface = LAW, noise: float = 0.03) -> pa.Table:
    """Return losses that differ between runs by a constant of each, and a little between the points of one."""
    rows = [(float(c.params), d, c.run) for c in chosen for d in c.atoms]
    n, d = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    of_run = [np.random.default_rng([5, *map(int, row[2].split())]).normal() for row in rows]
    own = [np.random.default_rng([7, int(row[1]), *map(int, row[2].split())]).normal() for row in rows]
    errors = noise * (np.array(of_run) + 0.3 * np.array(own))
    columns = {"params": n, "data": d, "flops": 6 * n * d, "loss": np.asarray(law.loss(n, d)) * np.exp(errors)}
    return pa.table({**columns, "trajectory": [row[2] for row in rows]})


def rounds(aim: Aim, everything: list[Candidate], law: Surface = LAW) -> tuple[list[Candidate], str | None, str]:
    taken: list[Candidate] = []
    coming = pilot(everything, aim)
    while coming.chosen:
        assert not {c.run for c in taken} & {c.run for c in coming.chosen}
        taken += coming.chosen
        coming = next_bracketing_round(everything, {c.trial_id for c in taken}, points(taken, law), aim)
    return taken, coming.ended, coming.told


def bracketed(taken: list[Candidate], law: Surface = LAW, budgets: tuple[float, ...] = BUDGETS) -> list[bool]:
    rows = [(float(c.params), d, 6.0 * c.params * d, c.run) for c in taken for d in c.atoms]
    params, data, flops, run = zip(*rows, strict=True)
    return [one.bracketed for one in brackets(PlannedPoints.of(params, data, flops, run), law, budgets)]


def test_the_pilot_trains_many_sizes_to_one_compute_below_the_lowest_budget() -> None:
    chosen = pilot(candidates(), Aim(budgets=BUDGETS, settings=Adaptive())).chosen
    assert [c.params for c in chosen] == SIZES[:8]
    assert max(c.flops for c in chosen) == pytest.approx(BUDGETS[0])
    assert {c.seed for c in chosen} == {0}
    cheap = pilot(candidates(), Aim(budgets=BUDGETS, settings=Adaptive(flops=2e12))).chosen
    assert math.fsum(c.flops for c in cheap) <= 0.1 * 2e12


@pytest.mark.parametrize("beta", [0.35, 0.5, 0.65])
def test_rounds_bracket_every_budget_and_end_there_if_no_more_is_asked_for(beta: float) -> None:
    law = dataclasses.replace(LAW, beta=beta, log_B=float(np.log(0.15) + beta * np.log(1e5)))
    taken, ended, told = rounds(Aim(budgets=BUDGETS, settings=Adaptive()), candidates(), law)
    assert ended == "bracketed"
    assert told == "N* bracketed at 4 of 4 budgets"
    assert bracketed(taken, law) == [True] * 4


def test_what_is_left_of_the_budget_narrows_the_answer() -> None:
    settings = Adaptive(flops=10 * BUDGETS[-1])
    taken, ended, _ = rounds(Aim(budgets=BUDGETS, settings=settings), candidates())
    assert ended == "flops"
    assert bracketed(taken) == [True] * 4
    assert 0.8 * settings.flops <= math.fsum(c.flops for c in taken) <= settings.flops
    enough, ended, _ = rounds(Aim(budgets=BUDGETS, settings=Adaptive(width=0.15)), candidates())
    assert ended == "width"
    assert len(enough) < len(taken)


def test_an_optimum_beyond_the_sizes_ends_the_rounds_with_what_was_bracketed() -> None:
    law = dataclasses.replace(LAW, log_A=float(np.log(30.0)))  # N* at 3e11 FLOP is above the second largest size
    assert not bracketed(candidates(), law)[-1]
    taken, ended, told = rounds(Aim(budgets=BUDGETS, settings=Adaptive(flops=4e12)), candidates(), law)
    assert ended in ("flops", "grid")
    assert rounds(Aim(budgets=BUDGETS, settings=Adaptive()), candidates(), law)[1] == "unbracketed"
    assert bracketed(taken, law)[0]
    assert "of 4 budgets" in told


def test_a_family_that_cannot_be_bracketed_is_refused_with_the_remedy() -> None:
    low, high = Aim(budgets=BUDGETS, settings=Adaptive(flops=1e12)), Aim(budgets=(1e13,), settings=Adaptive())
    assert refusal("a", candidates(), Aim(budgets=BUDGETS, settings=Adaptive())) is None
    key, why = refusal("a", candidates(), low) or ((), "")
    assert key == ("adaptive", "flops")
    assert "1e+12 cannot bracket N* at 3e+11 FLOPs, which takes 4 runs of that; raise it to 1.8e+12" in why
    key, why = refusal("a", candidates(), high) or ((), "")
    assert key == ("grid", "flops")
    assert "a: 3 sizes reach 1e+13 FLOPs within the data" in why


TOY = {"a": {"architecture": "toy-a", "sizes": {"width": [1, 2, 3, 4, 6, 8, 12, 16]}}}
GRID = {"structures": [2000000], "flops": [1e9, 3e9], "seeds": [0], "design": "auto"}
RATES = {"rates": {"a": 0.02}}


def auto_space(make_space: SpaceMaker, **changes: object) -> Space:
    content = {"families": TOY, "grid": GRID, "learning_rate": RATES, "entrypoint": "toy_trials:at_budgets"}
    content["adaptive"] = {"seeds": 3}
    return make_space(**{**content, **changes})


def whole_plan(space: Space, store: TrialStore) -> Plan:
    resolved = resolve(space, store)
    assert resolved.facts is not None
    rates = known_rates(TrialSpecs.of(resolved.space, resolved.facts), store)
    return make_plan(resolved.space, resolved.facts, rates)


def test_a_cut_anywhere_leads_to_the_same_design(make_space: SpaceMaker, tmp_path: Path) -> None:
    def ran(name: str, events: list[int], workers: int) -> list[str]:
        space = auto_space(make_space, storage=str(tmp_path / name))
        store = TrialStore(space.storage)
        for count in [*events, 10**9]:
            chooser = Rounds(resolve(space, store).space, store, lambda _: None)
            stage = ChosenGrid(whole_plan(space, store), Recorder(), chooser, lambda *_: None)
            try:
                run_serially(stage, store, workers=workers, draw=random.Random(count), events=count)
            except KilledError:
                continue
        assert Rounds(resolve(space, store).space, store, lambda _: None).over(whole_plan(space, store))
        return store.ids()

    straight = ran("straight", [], 2)
    assert len(straight) > 7
    assert ran("cut", [3, 11, 17], 3) == straight


@pytest.mark.usefixtures("one_ray")
def test_a_sweep_designs_itself_and_says_what_it_brackets(make_space: SpaceMaker, console: Console) -> None:
    space = auto_space(make_space)
    first = plan(space)
    assert not first.outlook[0].measured
    assert [trial.size["width"] for trial in first.trials][:3] == [1, 2, 3]
    assert len({trial.spec.data_budgets[0] for trial in first.trials if trial.spec}) == 1
    result = run(space, console=console)
    assert result.complete
    after = plan(space).outlook[0]
    assert after.measured
    assert after.bracketed == {1e9: 1.0, 3e9: 1.0}
    assert sweep_status(space).complete
    assert run(space, console=console).ran == 0


def test_what_an_automatic_design_lacks_is_named(make_space: SpaceMaker) -> None:
    with pytest.raises(SpaceError, match=r"grid\.flops: missing: design: auto needs the compute budgets"):
        auto_space(make_space, grid={"structures": [1000], "design": "auto"})
    with pytest.raises(SpaceError, match=r"families\.a\.sizes: 3 sizes cannot bracket N\*"):
        auto_space(make_space, families={"a": {"architecture": "toy-a", "sizes": {"width": [1, 2, 3]}}})
    with pytest.raises(SpaceError, match=r"grid\.device_hours: design: auto brackets N\* at grid\.flops"):
        auto_space(make_space, grid={**GRID, "device_hours": [1.0]})
    with pytest.raises(SpaceError, match=r"grid\.design: a race across families chooses its trajectories itself"):
        auto_space(make_space, race={"enabled": True, "at_flops": 1e10, "budget": 1e12})
    with pytest.raises(SpaceError, match=r"adaptive\.flops: a: 1e\+09 cannot bracket N\* at 3e\+09 FLOPs"):
        plan(auto_space(make_space, adaptive={"flops": 1e9}))
    with pytest.raises(SpaceError, match=r"grid\.flops: a: no sizes reach 1e\+15 FLOPs within the data"):
        plan(auto_space(make_space, grid={**GRID, "flops": [1e9, 1e15]}))
    with pytest.raises(SpaceError, match=r"grid\.flops: a: 1 size reaches 1e\+07 FLOPs after the smallest data budget"):
        plan(auto_space(make_space, grid={**GRID, "flops": [1e7, 1e9]}))


def late(chosen: list[Candidate], late: float) -> pa.Table:
    """Return losses of curves that leave their starting plateau at an amount of data."""
    table = points(chosen)
    top, loss = 1.5 * float(LAW.loss(SIZES[0], late)), table["loss"].to_numpy()
    loss = loss * (top / loss) ** (1 / (1 + (table["data"].to_numpy() / late) ** 2))
    table = table.set_column(table.column_names.index("loss"), "loss", pa.array(loss))
    return table.append_column("trivial_loss", pa.array(np.full(loss.size, top)))


def after_the_pilot(late_data: float, aim: Aim) -> tuple[list[Candidate], Round, pa.Table]:
    everything = candidates()
    first = list(pilot(everything, aim).chosen)
    table = late(first, late_data)
    return first, next_bracketing_round(everything, {c.trial_id for c in first}, table, aim), table


def test_runs_that_end_on_the_starting_plateau_are_followed_by_longer_ones() -> None:
    aim = Aim(budgets=BUDGETS, settings=Adaptive())
    first, coming, _ = after_the_pilot(3e6, aim)
    assert "runs have not left the starting plateau, the others only just; longer runs come next" in coming.told
    assert coming.interval is None, "the fit of such points has an interval, and it means nothing"
    assert len(coming.chosen) == 3
    assert min(max(c.atoms) for c in coming.chosen) > 1.5 * np.median([max(c.atoms) for c in first])
    assert max(c.flops for c in coming.chosen) <= 1.02 * BUDGETS[-1]
    plain, coming, _ = after_the_pilot(1e3, aim)
    assert not coming.told.endswith("longer runs come next"), "these have left it long before"
    assert plain == first


def test_a_budget_within_the_transition_is_refused_with_what_it_would_take() -> None:
    _, coming, _ = after_the_pilot(3e7, Aim(budgets=BUDGETS[:2], settings=Adaptive()))
    assert (coming.chosen, coming.ended, coming.interval) == ((), "transition", None)
    assert "no run has left the starting plateau, up to D = " in coming.told
    assert "the largest of grid.flops ends before that at all but the smallest sizes; raise it to " in coming.told
    _, coming, _ = after_the_pilot(3e6, Aim(budgets=BUDGETS, settings=Adaptive(flops=1.21e12)))
    assert coming.ended == "transition"
    assert "they and the brackets of the largest budget would take adaptive.flops of 1." in coming.told


def test_a_plan_says_that_points_so_far_describe_no_law() -> None:
    _, _, table = after_the_pilot(3e6, Aim(budgets=BUDGETS, settings=Adaptive()))
    outlook = design_outlook(table.drop_columns(["loss"]), table, BUDGETS)[None]
    assert "exponents of such runs describe no law, which takes runs up to D = " in outlook.concerns[0]
    longer = table.drop_columns(["loss"]).set_column(1, "data", pa.array(100 * table["data"].to_numpy()))
    assert not any("describe no law" in one for one in design_outlook(longer, table, BUDGETS)[None].concerns)
