"""IsoFLOP designs, and what a plan says that a sweep costs."""

import json
import sys
import types

import pytest
from rich.console import Console
from toy_sweep import SpaceMaker

from raysweep.core.errors import SpaceError
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.plan import totals
from raysweep.sweep.preview import plan
from raysweep.sweep.run import run

RATES = {"rates": {"a": 0.02}}
WIDTHS = [1, 2, 4, 8, 16, 32]


def params(width: int) -> int:
    return 100 * width**2


def isoflop(**more: object) -> dict[str, object]:
    flops = [1e8, 1e9, 1e10]
    return {"structures": [10**7], "flops": flops, "design": "isoflop", "atoms_per_param": [1, 100], **more}


def family() -> dict[str, object]:
    return {"a": {"architecture": "toy-a", "sizes": {"width": WIDTHS}}}


def test_each_budget_is_reached_by_the_sizes_within_atoms_per_param_alone(make_space: SpaceMaker) -> None:
    found = plan(make_space(families=family(), grid=isoflop(), learning_rate=RATES))
    expected = {}
    for width in WIDTHS:
        n = params(width)
        expected[width] = tuple(c for c in (1e8, 1e9, 1e10) if 1 <= c / (6.0 * n) / n <= 100)
    chosen = {int(t.size["width"]): t.spec.flops_budgets for t in found.trials if t.spec}
    assert chosen == {width: budgets for width, budgets in expected.items() if budgets}
    assert len(chosen) < len(WIDTHS)
    for trial in found.trials:
        assert trial.spec is not None
        assert trial.spec.data_budgets == ()
        assert trial.flops == pytest.approx(max(trial.spec.flops_budgets))  # it ends at the largest of its budgets
    full = plan(
        make_space(families=family(), grid={"structures": [10**7], "flops": [1e8, 1e9, 1e10]}, learning_rate=RATES)
    )
    total = full.totals()[-1].flops
    assert total is not None
    assert (found.totals()[-1].flops or 0) < total / 10


def test_budget_with_too_few_sizes_for_a_minimum_is_said(make_space: SpaceMaker) -> None:
    text = plan(make_space(families=family(), grid=isoflop(), learning_rate=RATES)).table()
    assert "a: 1 of its sizes reach 1e+08 FLOPs within grid.atoms_per_param and the data, and a minimum needs 3" in text


UNTUNED = {"low": 2e-3, "high": 2e-1, "structures": 90, "trials": 6}


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        # N is 100 to 102,400, an atom costs 6 N FLOPs: D/N = 1 at N = 100 are 6e4, and 1e7 atoms of the largest 6.1e12.
        (
            {"flops": [1e3, 1e9, 1e15]},
            r"grid\.flops: no size reaches 1000, 1e\+15 FLOPs: with 1 to 100 atoms per parameter and 1e\+07 atoms at "
            r"most, sizes reach from 6e\+04 to 6\.14e\+12; give budgets between",
        ),
        ({"flops": [1e20]}, r"grid\.flops: no size of a reaches 1e\+20 FLOPs"),
        ({"structures": [10]}, r"grid\.atoms_per_param: no size of a reaches any compute budget with 1 to 100 atoms"),
    ],
)
def test_budgets_that_nothing_reaches_are_refused_before_rates_are_tuned(
    make_space: SpaceMaker, console: Console, grid: dict[str, object], message: str
) -> None:
    space = make_space(families=family(), grid=isoflop(**grid), learning_rate=UNTUNED)
    with pytest.raises(SpaceError, match=rf"toy\.yaml:\d+: {message}"):
        plan(space)
    with pytest.raises(SpaceError, match=message):
        run(space, console=console)
    assert TrialStore(space.storage).ids() == []


def test_budgets_of_a_full_grid_that_nothing_reaches_are_said(make_space: SpaceMaker) -> None:
    grid = {"structures": [1000], "flops": [1e8, 1e12]}
    found = plan(make_space(families=family(), grid=grid, learning_rate=RATES))
    (note,) = found.notes
    assert note.startswith(
        "grid.flops: no size reaches 1e+12 FLOPs, so there is no point at them; the largest spends 6.14e+08"
    )


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"atoms_per_param": None}, "isoflop and atoms_per_param"),
        ({"flops": []}, "isoflop needs compute budgets"),
        ({"atoms_per_param": [10, 1]}, "10 must be below 1"),
        ({"design": "full"}, "give both design: isoflop and atoms_per_param"),
    ],
)
def test_half_a_design_is_refused(make_space: SpaceMaker, grid: dict[str, object], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        make_space(grid=isoflop(**grid))


def test_totals_are_sums_over_trajectories(make_space: SpaceMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(totals, "machine", lambda: {"CPU": 4.0, "GPU": 0.0})
    families = {k: {"architecture": f"toy-{k}", "sizes": {"width": [8, 16]}} for k in ("a", "b")}
    grid = {"structures": [100, 200, 300, 400, 500, 600], "seeds": [0]}
    resources = {"cpu": 2, "price_per_device_hour": 3.0}
    rates = {"rates": {"a": 0.02, "b": 0.02}}
    found = plan(make_space(families=families, grid=grid, learning_rate=rates, resources=resources))
    assert found.slots == 2
    first, second, both = found.totals()
    seconds = 600 * 1e-6 * (params(8) + params(16))
    assert (first.family, second.family, both.family) == ("a", "b", "all")
    assert first.params == (6400, 25600)
    assert first.data == (600.0, 600.0)
    assert first.flops == pytest.approx(6 * 600 * (6400 + 25600))
    assert first.device_hours == pytest.approx(seconds / 3600)
    assert first.hours_left == pytest.approx(max(seconds / 2, 600e-6 * 25600) / 3600)
    assert both.price_left == pytest.approx(2 * 3.0 * seconds / 3600)
    assert both.saving == pytest.approx(21 / 6)  # six equally spaced budgets: 1 + ... + 6 runs against the longest
    assert "a run for each point would cost 3.5 times the FLOPs" in found.table()
    assert json.loads(json.dumps(found.to_dict()))["families"][2]["saving"] == pytest.approx(3.5)


def test_what_this_machine_cannot_hold_is_said(make_space: SpaceMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(totals, "machine", lambda: {"CPU": 4.0, "GPU": 0.0})
    rates = {"rates": {"a": 0.02, "b": 0.02}}
    found = plan(make_space(learning_rate=rates, resources={"gpu": 2}))
    assert found.slots is None
    assert "resources.gpu requests 2 GPU, and this machine has 0; request less, or join a cluster" in found.table()


def test_design_without_costs_is_refused(
    make_space: SpaceMaker, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = types.ModuleType("bare_trials")
    bare.train = lambda spec, store, **how: iter(())  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bare_trials", bare)
    space = make_space(families=family(), grid=isoflop(), learning_rate=RATES, entrypoint="bare_trials:train")
    with pytest.raises(
        SpaceError, match=r"grid\.design: isoflop needs what sizes cost: give bare_trials:train a `cost`"
    ):
        run(space, console=console)


def test_subsets_are_repeated_up_to_the_passes_that_are_allowed(make_space: SpaceMaker, console: Console) -> None:
    grid = {"structures": [100, 200, 400, 800], "unique": [50, 100, 400], "epochs": 4}
    space = make_space(
        families={"a": {"architecture": "toy-a", "sizes": {"width": [4, 8]}}}, grid=grid, learning_rate=RATES
    )
    found = plan(space)
    specs = [trial.spec for trial in found.trials if trial.spec]
    assert [(spec.structures, spec.epochs, spec.data_budgets) for spec in specs[:3]] == [
        (50, 4.0, (100.0, 200.0)),
        (100, 4.0, (100.0, 200.0, 400.0)),
        (400, 2.0, (100.0, 200.0, 400.0, 800.0)),
    ]
    assert len(specs) == 6
    with pytest.raises(SpaceError, match="4 epochs of 20 structures do not reach the smallest data budget"):
        make_space(grid={**grid, "unique": [20, 100]})


def test_device_hours_are_the_flops_that_a_size_spends_in_them(make_space: SpaceMaker) -> None:
    # The toy runs at 6 FLOPs per microsecond, whatever its width: 1e-6 hours are 2.16e4 FLOPs, and fewer atoms with it.
    grid = {"structures": [4000], "flops": [1e6], "device_hours": [1e-6, 1e-4]}
    space = make_space(
        families={"a": {"architecture": "toy-a", "sizes": {"width": [1, 2]}}}, grid=grid, learning_rate=RATES
    )
    found = plan(space)
    budgets = [trial.spec.flops_budgets for trial in found.trials if trial.spec]
    assert budgets[1] == (2.16e4, 1e6, 2.16e6)
    assert [trial.points for trial in found.trials] == [4, 4]


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"structures": [100], "atoms": [100]}, "either as `structures` or as `atoms`"),
        ({"seeds": [0]}, "either as `structures` or as `atoms`"),
        ({"atoms": [100], "unique": [50]}, "give the data budgets as `structures` too, not as `atoms`"),
    ],
)
def test_data_budgets_are_structures_or_atoms(make_space: SpaceMaker, grid: dict[str, object], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        make_space(grid=grid)
