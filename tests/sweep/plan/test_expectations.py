"""A plan tells what its trajectories would answer: by the published exponents first, then by what is measured."""

import json

import pytest
from rich.console import Console
from toy_sweep import SpaceMaker

from raysweep.sweep.preview import plan
from raysweep.sweep.run import run

FAMILIES = {
    "a": {"architecture": "toy-a", "sizes": {"width": [1, 2, 4, 8, 16]}},
    "b": {"architecture": "toy-b", "sizes": {"width": [8, 12]}},
}
GRID = {"structures": [1000, 2000, 4000, 8000, 16000], "flops": [1e7, 1e8], "seeds": [0]}
RATES = {"rates": {"a": 0.02, "b": 0.02}}


def test_before_anything_is_measured_a_plan_tells_the_range_over_the_published_exponents(
    make_space: SpaceMaker,
) -> None:
    found = plan(make_space(families=FAMILIES, grid=GRID, learning_rate=RATES))
    first, second = found.outlook
    assert (first.architecture, first.measured, first.sizes, first.runs) == ("a", False, 5, 5)
    assert first.ratio == (1e7 / (6 * 25600) / 25600, 160.0)
    low, _, high = first.width("params_exponent")
    assert 0 < low < high
    assert not first.concerns
    assert second.concerns[0].startswith("2 sizes leave the exponents open")
    text = found.table()
    assert "published" in text
    assert "b: 2 sizes leave the exponents open: train 3 or more" in text
    rows = json.loads(json.dumps(found.to_dict()))["design"]
    assert [row["family"] for row in rows] == ["a", "b"]
    assert rows[0]["expected_widths"]["params_exponent"][0] == low
    assert rows[1]["expected_widths"]["params_exponent"] == [None, None, None]


def test_without_costs_there_is_no_outlook(make_space: SpaceMaker) -> None:
    found = plan(make_space(entrypoint="toy_trials:costless", learning_rate=RATES))
    assert found.outlook == ()
    assert "expected" not in found.table()


@pytest.mark.usefixtures("one_ray")
def test_where_points_are_there_already_a_plan_tells_by_their_fit(make_space: SpaceMaker, console: Console) -> None:
    families, rates = {"a": FAMILIES["a"]}, {"rates": {"a": 0.02}}
    once = {"structures": GRID["structures"], "seeds": [0]}
    assert run(make_space(families=families, grid=once, learning_rate=rates), console=console).complete
    more = {**once, "seeds": [0, 1, 2, 3]}
    same, (found,) = (
        plan(make_space(families=families, grid=grid, learning_rate=rates)).outlook for grid in (once, more)
    )
    assert same[0].measured
    assert found.measured
    assert found.runs == 20
    assert found.width("params_exponent")[1] < 0.7 * same[0].width("params_exponent")[1]
    assert found.flops == 6 * 25600 * 16000  # the dearest point, since no budget is named
