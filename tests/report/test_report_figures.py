import io

import numpy as np
import pytest
import synthetic_sweep
from PIL import Image

from raysweep.report.content.assemble import assemble
from raysweep.report.content.sources import from_points
from raysweep.report.content.values import Answers
from raysweep.report.figures.canvas import house_style, log_axis, new_figure, panels
from raysweep.report.figures.figures import Drawn, draw, optimal_model
from raysweep.report.figures.palette import shade, styles
from raysweep.report.figures.rate_curves import rate_figure
from raysweep.storage.rate_records import RateRecord, RateTrial

ALL = {
    "loss_against_compute.png",
    "loss_against_size.png",
    "loss_against_data.png",
    "optimal_model.png",
    "learning_rates.png",
    "isoflop_valleys.png",
    "residuals.png",
    "local_exponents.png",
    "windows.png",
    "rolling_origin.png",
}


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def coloured(picture: np.ndarray, colour: str) -> int:
    """Return how many pixels have very nearly a colour."""
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return int((np.abs(picture - wanted).max(axis=2) <= 6).sum())


def test_every_figure_is_drawn_or_has_a_reason(drawn: Drawn):
    assert set(drawn.files) | set(drawn.absent) == ALL
    assert set(drawn.alts) == set(drawn.files)
    assert drawn.absent == {
        "isoflop_valleys.png": (
            "no isoFLOP valley: no compute budget has 4 model sizes, which a valley needs for a minimum"
        ),
        "rolling_origin.png": "the points do not contradict the additive law, so no other was tried",
    }


def test_all_figures_are_drawn_at_150_dots_per_inch(figures: dict[str, bytes]):
    for name, data in figures.items():
        picture = Image.open(io.BytesIO(data))
        assert picture.format == "PNG", name
        assert picture.info["dpi"] == pytest.approx((150, 150), abs=0.1), name
        assert picture.size[0] >= 780, name


def test_every_family_is_drawn_in_its_own_colour_in_every_figure(figures: dict[str, bytes], answers: Answers):
    looks = styles([fit.family for fit in answers.families])
    assert len({look.colour for look in looks.values()}) == 4
    for name, data in figures.items():
        picture = pixels(data)
        for family, look in looks.items():
            assert coloured(picture, look.colour) > 150, (name, family)


def test_nothing_touches_the_margin(figures: dict[str, bytes]):
    for name, data in figures.items():
        picture = pixels(data)
        for edge in (picture[:3], picture[-3:], picture[:, :3], picture[:, -3:]):
            assert edge.min() == 255, f"{name} is clipped"


def test_the_same_answers_give_the_same_bytes(answers: Answers, figures: dict[str, bytes]):
    with house_style():
        again = optimal_model(answers, styles([fit.family for fit in answers.families]), "atoms")
    assert again == figures["optimal_model.png"]


def test_one_family_with_too_few_points_is_drawn_without_a_frontier():
    table = synthetic_sweep.points(("tensor-l2",), sizes=2, budgets=4).select(["params", "data", "flops", "loss"])
    material = from_points(table, "few")
    found = assemble(material)
    assert not found.answers.families[0].usable
    drawn = draw(material, found)
    assert set(drawn.files) == {"loss_against_compute.png", "loss_against_size.png", "loss_against_data.png"}
    assert coloured(pixels(drawn.files["loss_against_data.png"]), "#0072B2") > 100
    assert drawn.absent["optimal_model.png"] == "no fit has a compute-optimal frontier"
    assert drawn.absent["residuals.png"].startswith("no fit: two model sizes cannot separate E, A and alpha")


def test_points_that_are_all_nan_give_reasons_and_no_empty_figure():
    table = synthetic_sweep.points(("mpnn",), noise=float("nan"))
    material = from_points(table.select(["params", "data", "flops", "loss"]), "nan")
    drawn = draw(material, assemble(material))
    assert drawn.files == {}
    assert set(drawn.absent) == ALL - {"learning_rates.png"}
    assert "positive, finite loss" in drawn.absent["loss_against_compute.png"]


def test_a_search_without_a_rate_or_a_point_is_drawn():
    nothing = RateRecord(
        key="a-1",
        family="a",
        size={"width": 8},
        seed=0,
        widened=0,
        rate=None,
        method=None,
        edge=None,
        trials=(
            RateTrial(trial_id="1", learning_rate=0.1, state="diverged", data=(), losses=()),
            RateTrial(trial_id="2", learning_rate=0.2, state="failed", data=(1.0,), losses=(np.nan,)),
        ),
    )
    with house_style():
        data = rate_figure([nothing], styles(["a"]))
    assert coloured(pixels(data), "#b00000") > 10  # the cross of the trial that diverged


def test_more_families_than_colours_are_told_apart_by_their_markers():
    looks = styles([str(i) for i in range(14)])
    assert len({(look.colour, look.marker) for look in looks.values()}) == 14
    assert shade("#0072B2", 1.0) == pytest.approx((0, 0x72 / 255, 0xB2 / 255))
    assert shade("#0072B2", 0.0) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("values", "labels"),
    [([8e7, 6e8], {"100 M", "500 M"}), ([8e7, 1.5e9], {"1e8", "3e8", "1e9"}), ([3e12, 3.4e12], {"3e12", "3.2e12"})],
)
def test_labels_of_an_axis_have_one_notation(values: list[float], labels: set[str]):
    figure = new_figure(4, 3)
    (axes,) = panels(figure, 1, 1, share=False)
    axes.plot(values, [1, 2])
    log_axis(axes, "x", values)
    figure.canvas.draw()
    assert labels <= {label.get_text() for label in axes.get_xticklabels()}
