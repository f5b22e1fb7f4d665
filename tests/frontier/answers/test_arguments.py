"""Arguments without a meaning are refused by every query, never answered and never a traceback of numpy."""

import math

import numpy as np
import pytest
from surfaces import CHINCHILLA, valleys

from raysweep.core.errors import FrontierError
from raysweep.frontier import crossovers, fit, held_out, next_runs

POINTS = valleys(CHINCHILLA, noise=0.005)
FIT = fit(POINTS, bootstraps=60)
NO_NUMBERS = [
    math.nan,
    math.inf,
    -math.inf,
    -1.0,
    0,
    "x",
    "1e21",
    None,
    True,
    1j,
    [1e21],
    np.array([1e21, 1e22]),
    10**400,
]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize(
    "query",
    [
        lambda value: FIT.optimal(value),
        lambda value: FIT.loss(value, 1e10),
        lambda value: FIT.loss(1e9, value),
        lambda value: FIT.compute_for(value),
        lambda value: FIT.interval("optimal_params", flops=value),
        lambda value: FIT.curve([1e21, value]),
        lambda value: FIT.optimal(1e21, level=value),
        lambda value: FIT.loss(1e9, 1e10, level=value),
        lambda value: next_runs(POINTS, POINTS, value),
    ],
)
def test_no_number_is_refused(query, value):
    with pytest.raises(FrontierError):
        query(value)


@pytest.mark.parametrize("level", [2, 0, 1, -0.5, math.nan, "95 %", True, None])
def test_a_level_that_is_no_share_is_refused_with_what_to_give(level):
    for query in (
        lambda: FIT.interval("a", level),
        lambda: FIT.answer("a", level),
        lambda: FIT.compute_for(2.5, level=level),
    ):
        with pytest.raises(FrontierError, match=r"between 0 and 1, such as 0\.95"):
            query()


def test_numbers_of_any_type_are_taken():
    want = FIT.optimal(1e21)
    for value in (10**21, np.float64(1e21), np.array(1e21)):
        assert FIT.optimal(value) == want


@pytest.mark.parametrize("reach", [0.5, 0, math.nan, math.inf, "far", -3])
def test_a_reach_below_one_is_refused(reach):
    with pytest.raises(FrontierError, match="reach"):
        crossovers({"a": FIT, "b": FIT}, reach=reach)


@pytest.mark.parametrize(
    "settings", [{"share": 2}, {"share": "most"}, {"above": math.nan}, {"above": -1}, {"share": True}]
)
def test_a_split_that_is_none_is_refused(settings):
    with pytest.raises(FrontierError, match="held_out"):
        held_out(POINTS, bootstraps=0, **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"asymptote": math.nan},
        {"asymptote": math.inf},
        {"asymptote": True},
        {"asymptote": [1.0]},
        {"asymptote": None},
        {"asymptote": np.array([1.0, 2.0])},
        {"loss_delta": math.nan},
        {"loss_delta": True},
        {"loss_delta": 10**400},
        {"seed": -1},
        {"seed": 1.5},
        {"seed": "0"},
        {"seed": None},
        {"bootstraps": -1},
        {"bootstraps": True},
        {"bootstraps": 10**9},
        {"bootstraps": 100.0},
        {"method": None},
        {"method": ["parametric"]},
        {"law": {}},
        {"cost": "loss"},
        {"cost": 5},
        {"exclude": [0.5]},
        {"exclude": ["3"]},
        {"exclude": [[1], [2, 3]]},
        {"exclude": [-1]},
    ],
    ids=repr,
)
def test_settings_without_a_meaning_are_refused_by_name(settings):
    with pytest.raises(FrontierError, match=f"^{next(iter(settings))}"):
        fit(POINTS, **settings)
