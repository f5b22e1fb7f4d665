"""What a search space names twice is run once."""

from pathlib import Path

import pytest
from finished_sweep import finish, write_space

from raysweep.core.errors import SpaceError
from raysweep.core.trial import TrialSpec
from raysweep.sweep.preview import plan
from raysweep.sweep.reuse.trials import ReusedTrials
from raysweep.sweep.space.networks import check_sizes
from raysweep.sweep.space.parts import Grid, LearningRate
from raysweep.sweep.space.space import load_space
from raysweep.sweep.tuning.search import RateSearch, spread_rates


@pytest.mark.parametrize(
    ("override", "trials", "points"),
    [
        ("grid.structures=[200,100,100,200.0]", 2, 4),
        ("grid={atoms: [100, 1e2, 200]}", 2, 4),
        ("grid.flops=[1e6,1e6,1000000]", 2, 6),
        ("grid.device_hours=[1e-5,0.00001]", 2, 6),
        ("grid.unique=[100,100,200]", 4, 6),
        ("grid.seeds=[0, 0]", 2, 4),
        ("grid.seeds=[3, 1, 1.0, 3]", 4, 8),
        ("families.a.sizes={width: [8, 8, 16, 8.0]}", 2, 4),
        ("families.a.sizes=[{width: 8}, {width: 16}, {width: 8.0}, {width: 8}]", 2, 4),
        ("families.a={architecture: toy-a, fixed: {depth: 2}, sizes: [{width: 8}, {width: 8, depth: 2}]}", 1, 2),
        ("families.a.sizes=[{depth: 1, width: 8}, {width: 8, depth: 1}]", 1, 2),
        ("families.a.sizes={params: {from: 6400, to: 7000, steps: 3}}", 1, 2),
    ],
)
def test_a_value_that_stands_twice_is_planned_once(tmp_path: Path, override: str, trials: int, points: int) -> None:
    path = write_space(tmp_path / "toy.yaml", tmp_path / "sweep")
    found = plan(load_space(path, [override]))
    assert (len(found.trials), sum(trial.points for trial in found.trials)) == (trials, points)
    ids = [trial.spec.trial_id for trial in found.trials if trial.spec]
    assert len(set(ids)) == trials


def test_isoflop_budgets_stand_once() -> None:
    grid = Grid(structures=(10,), flops=(2e6, 1e6, 2e6), design="isoflop", atoms_per_param=(0.1, 10.0))
    assert grid.flops == (1e6, 2e6)


def test_sizes_that_the_architecture_s_defaults_make_equal_are_named(tmp_path: Path) -> None:
    families = {"a": {"architecture": "mpnn", "sizes": [{"width": 8}, {"width": 8, "depth": 3}, {"width": 16}]}}
    path = write_space(
        tmp_path / "toy.yaml", tmp_path / "sweep", entrypoint=None, families=families, data={"store": "nowhere"}
    )
    with pytest.raises(SpaceError, match=r"families\.a\.sizes: .*\"depth\": 3.* is the same network as {\"width\": 8}"):
        check_sizes(load_space(path))


def test_a_power_law_through_one_width_written_twice_is_refused(tmp_path: Path) -> None:
    rates = {"low": 1e-3, "high": 1e-1, "structures": 50, "transfer": "power_law"}
    families = {"a": {"architecture": "toy-a", "sizes": {"width": [8, 8.0]}}}
    path = write_space(tmp_path / "toy.yaml", tmp_path / "sweep", families=families, learning_rate=rates)
    with pytest.raises(SpaceError, match="at least two sizes"):
        load_space(path)


def test_an_earlier_sweep_in_several_spellings_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    finish(load_space(write_space(tmp_path / "first.yaml", "first")))
    (tmp_path / "link").symlink_to(tmp_path / "first")
    spellings = ["first", "./first/", str(tmp_path / "first"), "link"]
    space = load_space(write_space(tmp_path / "second.yaml", "second", earlier=spellings))
    assert len(ReusedTrials(space)._stores) == 1
    assert sum(trial.ended for trial in plan(space).trials) == 2
    wrong = load_space(write_space(tmp_path / "third.yaml", "third", earlier=["first", "link", "nowhere"]))
    with pytest.raises(SpaceError, match=r"earlier\.2: no trials are in .*/nowhere"):
        ReusedTrials(wrong)


def test_rates_of_a_range_too_narrow_for_four_digits_are_tried_once() -> None:
    assert len(spread_rates(0.01, 0.010001, 5)) == 5
    settings = LearningRate(low=0.01, high=0.010001, structures=10, trials=8)

    def spec(rate: float) -> TrialSpec:
        return TrialSpec(architecture="toy", size={}, fingerprint="none", structures=10, learning_rate=rate)

    search = RateSearch("a", {}, settings, 1, spec)
    first = search.ask()
    assert first is not None
    assert first.spec.learning_rate == 0.01
    assert search.ask() is None
