"""Ladders by parameters: the widths that come nearest, by the real counts of each architecture."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_sweep import SpaceMaker

from raysweep.core.errors import SpaceError
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.preview import plan
from raysweep.sweep.space import ladder
from raysweep.sweep.space.ladder import nearest_widths, with_sizes


def family(start: float, stop: float, steps: int) -> dict[str, object]:
    return {"a": {"architecture": "toy-a", "sizes": {"params": {"from": start, "to": stop, "steps": steps}}}}


@given(st.lists(st.floats(10, 1e6), min_size=1, max_size=6), st.integers(1, 40), st.integers(0, 500))
def test_widths_are_those_that_an_exhaustive_search_finds(targets: list[float], a: int, b: int) -> None:
    count = lambda width: a * width**2 + b * width + 7  # noqa: E731
    exhaustive = {min(range(1, 1100), key=lambda w: (abs(math.log(count(w) / t)), w)) for t in targets}
    assert nearest_widths(sorted(targets), count) == sorted(exhaustive)


def test_ladder_is_solved_once_kept_and_planned(make_space: SpaceMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    rate = {"rates": {"a": 0.02}}
    space = make_space(families=family(1e4, 1e6, 5), learning_rate=rate)
    found = plan(space)
    assert [trial.size for trial in found.trials] == [{"width": w} for w in (10, 18, 32, 56, 100)]
    for trial, target in zip(found.trials, (1e4, 10**4.5, 1e5, 10**5.5, 1e6), strict=True):
        assert trial.params == pytest.approx(target, rel=0.1)
    monkeypatch.setattr(ladder, "nearest_widths", lambda *_: pytest.fail("solved before"))
    assert plan(space).trials == found.trials


def test_sizes_that_lie_nearest_one_width_are_merged_and_said(make_space: SpaceMaker) -> None:
    found = plan(make_space(families=family(100, 2000, 6), learning_rate={"rates": {"a": 0.02}}))
    assert [trial.size["width"] for trial in found.trials] == [1, 2, 3, 4]
    assert "a: 6 sizes were requested, but some are nearest to the same width: 4 remain" in found.table()


@pytest.mark.parametrize(
    ("start", "stop", "message"),
    [
        (1, 1e4, r"families.a.sizes.params.from: 1 is below the smallest member, which has 100 parameters at width 1"),
        (1e4, 1e13, r"families.a.sizes.params.to: 1e\+13 is beyond the largest member, which has 429496729600 "),
        (1e4, 1e3, r"from \(10000\) must be below to \(1000\)"),
    ],
)
def test_parameters_out_of_reach_are_refused(make_space: SpaceMaker, start: float, stop: float, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        plan(make_space(families=family(start, stop, 3), learning_rate={"rates": {"a": 0.02}}))


def test_ladder_mixed_with_knobs_is_refused(make_space: SpaceMaker) -> None:
    mixed = {"a": {"architecture": "toy-a", "sizes": {"params": {"from": 1, "to": 2, "steps": 2}, "depth": 3}}}
    with pytest.raises(SpaceError, match="solves for the width only; move depth to `fixed`"):
        make_space(families=mixed)


@pytest.mark.parametrize("architecture", ["egnn", "tensor", "gemnet"])
def test_counts_are_those_of_the_real_networks(
    make_space: SpaceMaker, architecture: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from raysweep.models.base import DatasetInfo
    from raysweep.models.registry import create

    monkeypatch.setattr(ladder, "elements_of", lambda *_: ((1, 6, 8), 1.0))
    sizes = {"params": {"from": 2e4, "to": 2e5, "steps": 3}}
    space = make_space(
        families={"a": {"architecture": architecture, "fixed": {"depth": 2}, "sizes": sizes}},
        entrypoint=None,
        data={"store": str(tmp_path / "data")},
    )
    solved = with_sizes(space, TrialStore(space.storage))
    for size, target in zip(solved.families["a"].members(), (2e4, 10**0.5 * 2e4, 2e5), strict=True):
        model = create(architecture, size, "direct", DatasetInfo(elements=(1, 6, 8), scale=1.0), 0)
        assert sum(weight.numel() for weight in model.parameters()) == pytest.approx(target, rel=0.2)
