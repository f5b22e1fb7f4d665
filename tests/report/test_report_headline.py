import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from raysweep.report.content.assemble import answer
from raysweep.report.content.headline import headline
from raysweep.report.content.questions import Question
from raysweep.report.content.sources import from_points
from raysweep.report.content.values import Estimate, FamilyFit, Standing


def standing(family: str, loss: float | None, interval: tuple[float, float] | None = None) -> Standing:
    return Standing(
        family=family, loss_at_flops=loss, loss_at_data=loss, params_at_flops=1e4, data_at_flops=1e6, interval=interval
    )


def fit(family: str, gamma: float | None, half: float = 0.01) -> FamilyFit:
    exponent = None if gamma is None else Estimate(value=gamma, low=gamma - half, high=gamma + half)
    return FamilyFit(
        family=family, points=16, usable=gamma is not None, status="ok", sentences=("ok",), loss_exponent=exponent
    )


def test_a_clear_winner_is_named_with_the_order_of_the_losses():
    rows = [
        standing("tensor", 0.5, (0.48, 0.52)),
        standing("egnn", 0.8, (0.78, 0.82)),
        standing("mpnn", 1.0, (0.9, 1.1)),
    ]
    found = headline(rows, 1e12, 1e6, [fit("mpnn", 0.1), fit("egnn", 0.2), fit("tensor", 0.3)])
    assert "tensor is best, with a loss of 0.5" in found.sentences[0]
    assert "1e12 FLOP" in found.sentences[0]
    assert "mpnn (1) > egnn (0.8) > tensor (0.5)" in found.sentences[1]
    assert found.sentences[-1].startswith("tensor scales best")


def test_an_overlap_is_admitted_in_words_and_in_the_order():
    rows = [standing("a", 0.50, (0.45, 0.55)), standing("b", 0.52, (0.47, 0.57)), standing("c", 0.9, (0.8, 1.0))]
    found = headline(rows, 1e12, None, [fit("a", 0.3), fit("b", 0.305), fit("c", 0.1)])
    assert "a and b cannot be told apart" in found.sentences[0]
    assert "c (0.9) > b (0.52) ≈ a (0.5)" in found.sentences[1]
    assert (
        "not settled which family's loss falls fastest with compute: b has the largest exponent" in found.sentences[-1]
    )
    assert "overlaps that of a." in found.sentences[-1]


def test_without_intervals_the_winner_comes_with_a_doubt():
    found = headline([standing("a", 0.5), standing("b", 0.9)], 1e12, None, [fit("a", None), fit("b", None)])
    assert "without an interval, the difference cannot be judged" in found.sentences[0]
    assert found.sentences[-1] == "No family has enough points for an exponent."


def test_a_family_without_sound_points_is_named():
    rows = [standing("a", 0.5, (0.4, 0.6)), standing("b", 0.9, (0.8, 1.0)), standing("flat", None)]
    found = headline(rows, 1e12, None, [fit("a", 0.3), fit("b", 0.1), fit("flat", None)])
    assert found.sentences[1].endswith("No usable point of flat.")
    found = headline([standing("a", 0.5), standing("flat", None)], 1e12, None, [fit("a", 0.3)])
    assert found.sentences[0] == "The families cannot be compared at a common compute: no usable point of flat there."


def test_one_family_alone_is_not_compared_with_anything():
    found = headline([standing("a", 0.5, (0.4, 0.6))], 2e12, 1e6, [fit("a", 0.3)])
    assert found.sentences[0] == (
        "With 2e12 FLOP, the largest compute of the points, the lowest loss is 0.5 [0.4, 0.6], "
        "of a model of 10 k parameters."
    )
    assert "C^−0.3 (95 % interval 0.29 to 0.31)" in found.sentences[1]
    assert headline([standing("a", None)], None, None, []).sentences[0].startswith("No point can be used")


def test_a_sweep_that_has_not_ended_says_so_last():
    found = headline([standing("a", 0.5)], 1e12, None, [fit("a", 0.3)], "The sweep is not complete.")
    assert found.sentences[-1] == "The sweep is not complete."


def test_fits_with_reservations_are_named():
    doubtful = dataclasses.replace(fit("b", 0.1), cautions=("E is not identified",))
    found = headline([standing("a", 0.5), standing("b", 0.9)], 1e12, None, [fit("a", 0.3), doubtful])
    assert found.sentences[-1] == "Read the fits of b with the cautions listed below."


@pytest.mark.parametrize("seed", range(3))
def test_without_trajectories_the_headline_has_the_lowest_row_whatever_the_order_of_the_file(seed):
    generator = np.random.default_rng(seed)
    params = np.repeat(np.geomspace(1e7, 1e9, 4), 9)
    data = np.tile(np.repeat(np.geomspace(1e9, 1e11, 3), 3), 4)
    loss = (1.8 + 482 * params**-0.35 + 2085 * data**-0.37) * np.tile([1.0, 1.01, 1.3], 12)
    order = generator.permutation(36)
    points = {"params": params, "data": data, "flops": 6 * params * data, "loss": loss}
    table = pa.table({name: values[order] for name, values in points.items()})
    found = answer(from_points(table, "x"))
    assert found.headline.standings[0].loss_at_flops == loss.min()
    assert found.families[0].points == 36
    assert f"the lowest loss is {loss.min():.4g}" in found.headline.sentences[0]


def test_a_loss_far_below_the_law_is_no_headline():
    params, data = (part.ravel() for part in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(1e9, 1e11, 5)))
    loss = (1.8 + 482 * params**-0.35 + 2085 * data**-0.37) * np.exp(0.003 * np.random.default_rng(0).normal(size=25))
    lowest = loss.min()
    loss[11] *= 0.2
    table = pa.table({"params": params, "data": data, "flops": 6 * params * data, "loss": loss})
    for method in ("parametric", "envelope"):
        found = answer(from_points(table, "x", in_order=True), Question(method=method))
        assert found.headline.standings[0].loss_at_flops == lowest
