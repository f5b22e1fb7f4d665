import dataclasses

import numpy as np
import pyarrow as pa
import pytest
import synthetic_sweep

from raysweep.core.text import scaled
from raysweep.frontier.points.families import NAMELESS
from raysweep.report.content.assemble import answer
from raysweep.report.content.costs import family_costs
from raysweep.report.content.sources import Material, from_points
from raysweep.report.content.values import Answers, Estimate, estimate
from raysweep.report.table import text


def holds(found: Estimate | None, truth: float) -> bool:
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    return found.low <= truth <= found.high


def test_the_intervals_hold_the_exponents_of_the_law_that_made_the_points(answers: Answers):
    for fit in answers.families:
        a, b, gamma = synthetic_sweep.exponents(fit.family)
        assert holds(fit.params_exponent, a), fit.family
        assert holds(fit.data_exponent, b), fit.family
        assert holds(fit.loss_exponent, gamma), fit.family


def test_the_headline_has_the_order_of_the_losses_that_the_laws_give(answers: Answers):
    assert [row.family for row in answers.headline.standings] == ["tensor-l2", "tensor-l1", "egnn", "mpnn"]
    assert answers.headline.common_flops == pytest.approx(12.0 * 120_000 * 400_000)
    assert "tensor-l2 is best" in answers.headline.sentences[0]


def test_points_on_the_plateau_are_listed_with_family_and_reason(answers: Answers, material: Material):
    losses = material.points["loss"].to_numpy()
    assert len(answers.excluded) == int((losses > 0.9 * synthetic_sweep.TRIVIAL).sum()) > 20
    assert {point.reason.split(":")[0] for point in answers.excluded} == {"on the starting plateau"}
    in_fits = sum(fit.points for fit in answers.families)
    assert in_fits + len(answers.excluded) == material.points.num_rows


def test_costs_are_those_of_the_smallest_and_largest_size(answers: Answers):
    cost = {cost.family: cost for cost in answers.costs}["egnn"]
    assert cost.params == (9_000, 130_000)
    assert cost.flops_per_param_atom == pytest.approx((60.0, 60.0))
    assert cost.flops_per_atom == pytest.approx((60.0 * 9_000, 60.0 * 130_000))
    assert cost.seconds_per_atom == pytest.approx((60.0 * 9_000 / 3e9, 60.0 * 130_000 / 3e9))
    assert cost.devices == ("cpu",)


def test_the_cost_of_an_md_step_is_that_of_the_smallest_and_largest_size(material: Material):
    sizes = np.array(material.points["params"].to_pylist(), float)
    timed = material.points.append_column("md_ms_1000", pa.array(1.0 + sizes / 1e4))
    cost = {cost.family: cost for cost in family_costs(timed, ["egnn"])}["egnn"]
    assert cost.md_ms_1000 == pytest.approx((1.9, 14.0))
    assert cost.md_ms_100 is None


def test_the_optimum_is_told_at_the_common_compute_and_beyond_it(answers: Answers):
    for fit in answers.families:
        within, beyond = fit.optima
        assert beyond.flops == pytest.approx(10 * within.flops)
        assert (within.extrapolated, beyond.extrapolated) == (False, True)
        assert beyond.reservation.startswith("beyond the compute of the points")
        assert within.near is not None
        assert within.near[0] < within.params.value < within.near[1]


def test_an_optimum_outside_of_what_was_tried_says_on_which_side(answers: Answers):
    found = {fit.family: fit.optima for fit in answers.families}
    assert found["tensor-l2"][0].reservation == ""  # N* = 7 k of 3-34 k, D* = 310 k of 6-400 k
    assert found["mpnn"][0].reservation == "D* above the data tried"
    assert found["mpnn"][1].reservation == (
        "beyond the compute of the points, N* above the sizes tried, D* above the data tried"
    )


def test_the_order_of_the_rows_changes_nothing(material: Material, answers: Answers):
    shuffled = material.points.take(pa.array(np.random.default_rng(0).permutation(material.points.num_rows)))
    again = answer(dataclasses.replace(from_points(shuffled, "x"), facts=material.facts, full=material.full))
    assert again == answers
    assert text(again) == text(answers)


def test_the_table_names_every_family_with_its_status_and_the_excluded(answers: Answers):
    lines = text(answers).splitlines()
    for family in synthetic_sweep.LAWS:
        assert any(line.startswith(f"{family} ") and line.endswith(("ok", "identified")) for line in lines)
    assert "mpnn: 18 points have not left the starting plateau and are left out" in lines


def test_a_family_with_too_few_points_is_told_plainly_and_the_others_stand():
    table = synthetic_sweep.points(("egnn",))
    few = synthetic_sweep.points(("tensor-l2",), sizes=1, budgets=5)
    found = answer(from_points(_as_read(pa.concat_tables([table, few])), "x"))
    good, poor = found.families
    assert good.usable
    assert good.loss_exponent is not None
    assert not poor.usable
    assert poor.loss_exponent is None
    assert (poor.optima, poor.path) == ((), ())
    assert poor.status == "too_few_points"
    assert "tensor-l2: " + poor.sentences[0] in text(found)
    assert "–" in next(line for line in text(found).splitlines() if line.startswith("tensor-l2"))


def test_points_without_family_seconds_or_trivial_loss_are_enough():
    table = _as_read(synthetic_sweep.points(("mpnn",))).select(["params", "data", "flops", "loss"])
    found = answer(from_points(table, "x"))
    assert [fit.family for fit in found.families] == ["all points"]
    assert found.costs[0].seconds_per_atom is None
    assert "the largest compute of the points" in found.headline.sentences[0]
    assert "all points" not in " ".join(found.headline.sentences)


def test_no_number_is_invented_where_every_loss_is_nan():
    table = _as_read(synthetic_sweep.points(("mpnn",)))
    nans = pa.array(np.full(table.num_rows, np.nan))
    found = answer(from_points(table.set_column(table.column_names.index("loss"), "loss", nans), "x"))
    assert found.families[0].points == 0
    assert len(found.excluded) == table.num_rows
    assert found.headline.sentences[0] == "No point can be used, so there is nothing to report."
    assert found.headline.common_flops is None


def test_numbers_read_well():
    assert [scaled(x) for x in (0.5, 1234.0, 2.5e6, 5.76e11, 1e-7, 1e22)] == [
        "0.5", "1.23 k", "2.5 M", "5.76e11", "1e-7", "1e22",
    ]  # fmt: skip
    assert scaled(None) == scaled(float("nan")) == scaled(float("inf")) == "–"
    assert estimate(Estimate(value=0.4, low=0.38, high=0.42)) == "0.4 [0.38, 0.42]"
    assert estimate(Estimate(value=0.4)) == "0.4"
    assert estimate(None) == "–"


def _as_read(table: pa.Table) -> pa.Table:
    from raysweep.frontier.points.readers import as_table

    return as_table(table)


def test_points_that_name_no_family_among_others_that_do_are_one_without_a_name():
    table = _as_read(synthetic_sweep.points(("mpnn", "egnn")))
    names = [None if name == "egnn" else name for name in table["architecture"].to_pylist()]
    found = answer(
        from_points(table.set_column(table.column_names.index("architecture"), "architecture", [names]), "x")
    )
    assert {fit.family for fit in found.families} == {"mpnn", NAMELESS}
    assert all(fit.usable for fit in found.families)
