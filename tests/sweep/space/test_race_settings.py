"""Budgets as people write them, and the settings of a race."""

import pytest
from toy_sweep import SpaceMaker

from raysweep.core.errors import SpaceError
from raysweep.sweep.space.race import Allowance, parse_budget
from raysweep.sweep.space.space import as_race


@pytest.mark.parametrize(
    ("written", "kind", "amount"),
    [
        ("45s", "seconds", 45.0),
        ("10m", "seconds", 600.0),
        ("10 minutes", "seconds", 600.0),
        ("1h30m", "seconds", 5400.0),
        ("1h 30 min", "seconds", 5400.0),
        ("2h", "seconds", 7200.0),
        ("1.5d", "seconds", 129600.0),
        ("2dh", "device_seconds", 7200.0),
        ("2 device-hours", "device_seconds", 7200.0),
        ("0.5 device hour", "device_seconds", 1800.0),
        ("1e15", "flops", 1e15),
        ("3.5e12 FLOPs", "flops", 3.5e12),
        (1e15, "flops", 1e15),
        (10**12, "flops", 1e12),
    ],
)
def test_a_budget_is_time_device_hours_or_flops(written: str | float, kind: str, amount: float) -> None:
    found = parse_budget(written)
    assert (found.kind, found.amount) == (kind, pytest.approx(amount))


@pytest.mark.parametrize(
    "written",
    ["", "ten", "10M", "-5m", "0m", "0", "1e400", "inf", "2h 5", "h", "10m 2dh", "5 PFLOPs", "1e15 1e15", "m10"],
)
def test_nonsense_is_refused_with_the_forms_that_are_accepted(written: str) -> None:
    with pytest.raises(ValueError, match=r"give wall-clock time \(45s, 10m.*device hours \(2dh.*FLOPs \(1e15"):
        parse_budget(written)


@pytest.mark.parametrize("written", ["10", 10, 600.0])
def test_a_number_whose_unit_was_forgotten_is_not_taken_for_flops(written: str | float) -> None:
    with pytest.raises(ValueError, match=r"without a unit would be .* FLOPs, which trains nothing"):
        parse_budget(written)


def test_settings_of_a_race_are_checked_and_none_changes_a_trial(make_space: SpaceMaker) -> None:
    plain = make_space()
    racing = as_race(plain, flops=1e12, budget="10m")
    assert racing.race.allowance == Allowance("seconds", 600.0, "10m")
    assert (racing.race.delta, racing.race.error) == (0.02, 0.05)
    assert racing.seeds() == (0, 1, 2, 3)
    assert plain.seeds() == (0,)
    written = make_space(race={"at_flops": 1e12, "delta": 0.03, "seeds": 2})
    assert written.in_rounds is None, "a race runs where it is asked for"
    assert as_race(written).race.at_flops == 1e12
    assert as_race(written, delta=0.05).race.delta == 0.05
    assert as_race(written).seeds() == (0, 1)
    assert as_race(written, inference_steps=1e9).race.inference_steps == 1e9
    with pytest.raises(SpaceError, match=r"race\.inference_steps"):
        as_race(written, inference_steps=-1.0)


def test_what_is_no_race_is_refused(make_space: SpaceMaker) -> None:
    space = make_space()
    with pytest.raises(SpaceError, match=r"race.*at_flops: missing: the compute at which families are compared"):
        as_race(space)
    with pytest.raises(SpaceError, match=r"race.delta: Input should be less than 1"):
        as_race(space, flops=1e12, delta=5)
    with pytest.raises(SpaceError, match=r"race.budget: 'soon' is no budget; give wall-clock time"):
        as_race(space, flops=1e12, budget="soon")
    with pytest.raises(SpaceError, match=r"race.budget: 'soon' is no budget; give wall-clock time"):
        make_space(race={"budget": "soon"})
    with pytest.raises(SpaceError, match="leave out --adaptive"):
        as_race(make_space(adaptive={"enabled": True, "width": 0.1}), flops=1e12)
    with pytest.raises(SpaceError, match="a race needs two families or more"):
        as_race(make_space(families={"a": {"architecture": "toy-a", "sizes": {"width": [8, 16]}}}), flops=1e12)
