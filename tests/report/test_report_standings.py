import numpy as np
import pyarrow as pa
import pytest

from raysweep.report.content.standings import LearningCurve, curves, largest_common, standings


def curve(params: float, flops: list[float], loss: list[float]) -> LearningCurve:
    return LearningCurve(params, np.array(flops) / params, np.array(flops), np.array(loss))


def test_the_largest_common_budget_is_the_smallest_of_the_families_largest():
    families = [[curve(1.0, [1.0, 10.0], [2.0, 1.0]), curve(2.0, [2.0, 20.0], [2.0, 1.0])], [curve(1.0, [5.0], [1.0])]]
    assert largest_common(families, "flops") == 5.0
    assert largest_common([families[0], []], "flops") is None
    assert largest_common([], "flops") is None


def test_a_loss_between_two_budgets_is_interpolated_as_a_power_law():
    power_law = curve(1.0, [1e10, 1e12], [2.0, 0.5])  # L = 2 (C / 1e10)^-0.301
    (row,) = standings(["a"], [[power_law]], 1e11, None)
    assert row.loss_at_flops == pytest.approx(1.0, rel=1e-12)
    assert row.data_at_flops == pytest.approx(1e11, rel=1e-12)
    assert row.loss_at_data is None


def test_a_smaller_model_that_ended_earlier_counts_for_compute_but_not_for_data():
    small, large = curve(1.0, [1.0, 10.0], [2.0, 0.4]), curve(10.0, [50.0, 100.0], [0.9, 0.5])
    (row,) = standings(["a"], [[small, large]], 100.0, 1e9)
    assert (row.loss_at_flops, row.params_at_flops) == (0.4, 1.0)
    assert row.loss_at_data is None  # nobody has seen so much data


def test_families_stand_from_the_lowest_loss_to_the_highest_and_those_without_one_last():
    rows = standings(
        ["none", "worse", "better"],
        [[], [curve(1.0, [1.0, 9.0], [3.0, 2.0])], [curve(1.0, [1.0, 9.0], [3.0, 1.0])]],
        9.0,
        9.0,
    )
    assert [row.family for row in rows] == ["better", "worse", "none"]
    assert [row.loss_at_flops for row in rows] == [1.0, 2.0, None]
    assert [row.loss_at_data for row in rows] == [1.0, 2.0, None]


def test_seeds_of_one_size_are_averaged_rather_than_the_luckiest_taken():
    two_seeds = [curve(1.0, [1.0, 9.0], [3.0, 1.0]), curve(1.0, [1.0, 9.0], [3.0, 2.0])]
    (row,) = standings(["a"], [two_seeds], 9.0, None)
    assert row.loss_at_flops == pytest.approx(1.5)


def test_plateau_nan_and_other_families_are_left_out_of_curves():
    table = pa.table(
        {
            "params": [10, 10, 10, 10],
            "data": [1.0, 2.0, 3.0, 4.0],
            "flops": [6.0, 12.0, 18.0, 24.0],
            "loss": [1.95, 1.7, float("nan"), 1.0],
            "trivial_loss": [2.0, 2.0, 2.0, 2.0],
            "architecture": ["a", "a", "a", "b"],
            "trajectory": ["t", "t", "t", "u"],
        }
    )
    (only,) = curves(table, "a")
    assert only.loss.tolist() == [1.7]
    assert only.params == 10.0


def test_points_without_optional_columns_are_grouped_by_size():
    table = pa.table(
        {"params": [10, 20, 10], "data": [2.0, 1.0, 1.0], "flops": [2.0, 2.0, 1.0], "loss": [1.0, 3.0, 2.0]}
    )
    small, large = curves(table, "whatever")
    assert small.loss.tolist() == [2.0, 1.0]  # ascending in compute
    assert large.loss.tolist() == [3.0]


def test_runs_of_one_size_and_data_without_a_trajectory_are_replicates_and_the_lowest_counts():
    table = pa.table(
        {
            "params": [10, 10, 10, 20, 20, 20],
            "data": [1.0, 1.0, 1.0, 4.0, 4.0, 2.0],
            "flops": [60.0, 60.0, 60.0, 480.0, 480.0, 240.0],
            "loss": [2.0, 1.9, 3.0, 1.4, 2.5, 1.6],
        }
    )
    small, large = curves(table, "any")
    assert small.loss.tolist() == [1.9]
    assert large.loss.tolist() == [1.6, 1.4]
    (row,) = standings(["any"], [[small, large]], 480.0, 4.0)
    assert (row.loss_at_flops, row.params_at_flops, row.data_at_flops) == (1.4, 20.0, 4.0)
    assert row.loss_at_data == 1.4


def test_the_lowest_row_counts_where_a_longer_run_of_its_size_ended_higher():
    table = pa.table({"params": [10, 10, 30], "data": [1.0, 2, 1], "flops": [60.0, 120, 180], "loss": [1.5, 1.7, 1.6]})
    (row,) = standings(["any"], [curves(table, "any")], 180.0, None)
    assert (row.loss_at_flops, row.params_at_flops, row.data_at_flops) == (1.5, 10.0, 1.0)


def test_rows_that_are_left_out_are_in_no_curve():
    table = pa.table({"params": [10, 10], "data": [1.0, 2], "flops": [60.0, 120], "loss": [1.5, 0.1]})
    (only,) = curves(table, "any", [1])
    assert only.loss.tolist() == [1.5]


def test_runs_of_one_size_on_different_data_are_no_seeds_of_each_other():
    table = pa.table(
        {
            "params": [10] * 4,
            "data": [1.0, 2.0, 4.0, 4.0],
            "flops": [60.0, 120.0, 240.0, 240.0],
            "loss": [3.0, 2.5, 2.0, 2.2],
            "trajectory": ["a", "b", "c", "d"],
        }
    )
    (row,) = standings(["any"], [curves(table, "any")], 240.0, 4.0)
    assert row.loss_at_flops == row.loss_at_data == pytest.approx(2.1)
    assert row.data_at_flops == pytest.approx(4.0)
