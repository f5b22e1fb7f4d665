"""The figures that check fits draw what the fits say, name what they leave out, and have room for eight families."""

from itertools import combinations
from pathlib import Path

import eight
import numpy as np
import pyarrow as pa
import pytest

from raysweep.core.text import scaled
from raysweep.frontier import Fit, fit, fit_families, isoflop_valleys
from raysweep.frontier.points.readers import as_table
from raysweep.report.content.sources import from_file
from raysweep.report.figures.canvas import house_style, legend_below, mark, name_of, new_figure, panels
from raysweep.report.figures.checks import (
    NothingToDraw,
    exponent_figure,
    origin_figure,
    residual_figure,
    valley_figure,
    window_figure,
)
from raysweep.report.figures.checks.local_exponents import curve_exponents
from raysweep.report.figures.palette import styles

GRID = eight.table(("mpnn",), noise=0.003, runs=False).drop_columns(["architecture"])
BENT = eight.table(("mpnn", "egnn"), noise=0.003, runs=False)


def transition() -> pa.Table:
    """Runs whose first two budgets lie far above the law of the later ones."""
    rows = {name: [] for name in ("trajectory", "params", "data", "flops", "loss")}
    generator = np.random.default_rng(0)
    for params in eight.SIZES:
        for data in eight.BUDGETS:
            start = 1.0 + 0.9 * max(0.0, 1.0 - data / 4e4)
            loss = (0.05 + 14 * params**-0.4 + 30 * data**-0.45) * start * np.exp(0.004 * generator.standard_normal())
            for name, value in zip(rows, (f"{params:g}", params, data, 60 * params * data, float(loss)), strict=True):
                rows[name].append(value)
    return pa.table(rows)


@pytest.fixture(scope="module")
def whole() -> Fit:
    return fit(GRID, law="additive", bootstraps=60)


@pytest.fixture(scope="module")
def bent() -> Fit:
    return fit(BENT.filter(pa.compute.equal(BENT["architecture"], "egnn")), bootstraps=0)


def drawn_points(axes, marker="o") -> tuple[np.ndarray, np.ndarray]:
    """x and y of everything that is drawn with a marker on axes."""
    lines = [line for line in axes.lines if line.get_marker() == marker]
    return tuple(np.concatenate([line.get_data()[k] for line in lines]) for k in (0, 1))


def test_valleys_show_the_points_the_minima_with_their_intervals_and_the_laws_optimum(whole: Fit):
    (axes,) = valley_figure(whole).figure.axes
    valleys = isoflop_valleys(GRID, bootstraps=60)
    good = [valley for valley in valleys if not valley.problem]
    assert 3 <= len(valleys) <= 9
    x, y = drawn_points(axes)
    assert sorted(x) == pytest.approx(sorted(np.concatenate([valley.params for valley in valleys])))
    assert sorted(y) == pytest.approx(sorted(np.concatenate([valley.loss for valley in valleys])))
    x, y = drawn_points(axes, "*")
    assert list(x) == pytest.approx([valley.optimum.value for valley in good])
    assert list(y) == pytest.approx([valley.lowest for valley in good])
    bars = [line.get_xdata() for line in axes.lines if line.get_marker() == "|"]
    assert [list(bar) for bar in bars] == [pytest.approx(list(valley.optimum.interval)) for valley in good]
    x, y = drawn_points(axes, "x")
    optima = [whole.optimal(valley.flops) for valley in valleys]
    assert list(x) == pytest.approx([optimum.params.value for optimum in optima], rel=1e-6)
    assert list(y) == pytest.approx([optimum.loss.value for optimum in optima], rel=1e-6)


def test_residuals_are_measured_over_predicted_and_the_named_departures_lie_at_their_places(bent: Fit):
    additive = fit(BENT.filter(pa.compute.equal(BENT["architecture"], "egnn")), law="additive", bootstraps=0)
    assert additive.lack_of_fit.bends
    picture = residual_figure(additive, data_unit="tokens")
    samples, axes = additive.samples, picture.figure.axes
    predicted = np.array([additive.loss(n, d).value for n, d in zip(samples.params, samples.data, strict=True)])
    for panel, at in zip(axes, (samples.params, samples.data, samples.cost), strict=True):
        x, y = drawn_points(panel)
        order, expected = np.lexsort((y, x)), 100 * (samples.loss / predicted - 1)
        right = np.lexsort((expected, at))
        assert list(x[order]) == pytest.approx(list(at[right]))
        assert list(y[order]) == pytest.approx(list(np.clip(expected[right], *panel.get_ylim())), abs=0.1)
    places = {f"the {end} {word}": k for k, word in enumerate(("N", "D", "compute")) for end in ("largest", "smallest")}
    bars = [[line.get_ydata()[0] for line in panel.lines if line.get_color() == "#b00000"] for panel in axes]
    assert sum(map(len, bars)) == 3
    for departure in additive.lack_of_fit.departures[:3]:
        assert any(bar == pytest.approx(100 * np.expm1(departure.size)) for bar in bars[places[departure.place]])
    for panel in axes:
        farthest = max(np.max(np.abs(line.get_ydata()), initial=0.0) for line in panel.lines)
        assert all(farthest < abs(text.get_position()[1]) < max(panel.get_ylim()) for text in panel.texts)
    assert sum(len(panel.texts) for panel in axes) == 3
    assert str(additive.lack_of_fit) in axes[2].get_title(loc="right").replace("\n", " ")
    assert [panel.get_xlabel() for panel in axes][1] == "data seen D (tokens)"
    assert str(additive.lack_of_fit) in picture.alt


def test_local_exponents_before_the_window_are_hollow_and_the_window_is_shaded():
    table = transition()
    found = fit(table, bootstraps=0)
    low, high = found.samples.data.min(), found.samples.data.max()
    assert low >= 4e4  # a window was chosen
    picture = exponent_figure(found, table, data_unit="atoms")
    (axes,) = picture.figure.axes
    values = curve_exponents(found, as_table(table))
    assert 0 < values.inside.sum() < values.inside.size
    middle = np.sqrt(values.exponents.low * values.exponents.high)
    white = [line for line in axes.lines if line.get_marker() == "o" and line.get_markerfacecolor() == "white"]
    filled = [line for line in axes.lines if line.get_marker() == "o" and line.get_markerfacecolor() != "white"]
    for lines, mask in ((white, ~values.inside), (filled, values.inside)):
        x, y = (np.concatenate([line.get_data()[k] for line in lines]) for k in (0, 1))
        assert sorted(x) == pytest.approx(sorted(middle[mask]))
        assert sorted(y) == pytest.approx(sorted(values.exponents.exponent[mask]))
    (span,) = axes.patches
    assert (span.get_x(), span.get_x() + span.get_width()) == pytest.approx((low, high))
    bars = [segment for bar in axes.collections for segment in bar.get_segments()]
    assert len(bars) == values.inside.size
    assert [bar[1][1] - bar[0][1] for bar in bars] == pytest.approx([2 * values.exponents.error] * len(bars))
    assert axes.get_xlabel() == "data seen D (atoms)"
    assert f"window, D = {scaled(low)} to 1.28 M" in picture.alt


def test_windows_have_the_fits_own_exponent_and_interval_in_the_middle(whole: Fit):
    a, gamma = window_figure(whole).figure.axes
    for axes, value, name in ((a, whole.params_exponent, "a"), (gamma, whole.loss_exponent, "gamma")):
        (curve,) = [line for line in axes.lines if line.get_marker() == "None"]
        assert list(curve.get_xdata()) == pytest.approx([-0.4, -0.2, 0.0, 0.2, 0.4])
        assert curve.get_ydata()[2] == pytest.approx(value)
        (bar,) = [line for line in axes.lines if line.get_marker() == "_"]
        interval = whole.interval(name)
        assert list(bar.get_ydata()) == pytest.approx(list(interval))
        hollow = [line for line in axes.lines if line.get_markerfacecolor() == "white" and line.get_marker() == "o"]
        outside = [y for y in curve.get_ydata() if y not in interval]
        assert list(np.concatenate([line.get_ydata() for line in hollow])) == pytest.approx(outside)


def test_errors_of_the_candidates_stand_by_law_and_origin_with_the_chosen_one_marked(bent: Fit):
    choice = bent.choice
    (axes,) = origin_figure(bent).figure.axes
    known = [one for one in choice.candidates if np.isfinite(one.error)]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([100 * one.error for one in known])
    for origin, marker in zip(range(choice.origins), "<>", strict=True):
        x, y = drawn_points(axes, marker)
        assert list(x) == pytest.approx([100 * one.errors[origin] for one in known])
        assert list(y) == list(range(len(known)))
    bold = [label.get_text() for label in axes.get_yticklabels() if label.get_fontweight() == "bold"]
    taken = choice.candidates[choice.chosen]
    assert len(bold) == 1
    assert bold[0].startswith(f"chosen: {taken.law}")


def test_what_cannot_be_drawn_has_a_reason(whole: Fit):
    with pytest.raises(NothingToDraw, match="no two points share a run"):
        exponent_figure(whole, GRID)
    with pytest.raises(NothingToDraw, match=r"do not contradict the additive law|given by name"):
        origin_figure(whole)
    few = fit(GRID.slice(0, 16), bootstraps=0)  # two sizes
    for figure in (residual_figure, window_figure, origin_figure):
        with pytest.raises(NothingToDraw, match="no fit: two model sizes"):
            figure(few)
    with pytest.raises(NothingToDraw, match="no compute budget has 4 model sizes"):
        valley_figure(few)
    picture = residual_figure({"whole": whole, "few": few})
    assert set(picture.absent) == {"few"}
    assert len(picture.figure.axes) == 3
    envelope = fit(GRID, method="envelope", bootstraps=0)
    with pytest.raises(NothingToDraw, match="only a parametric law"):
        window_figure(envelope)
    with pytest.raises(NothingToDraw, match="does not choose among laws"):
        origin_figure(envelope)


def test_eight_families_have_room_for_their_names():
    found = fit_families(eight.table(runs=False), law="additive", bootstraps=0)
    assert len(found) == 8
    picture = residual_figure(found)
    assert picture.absent == {}
    assert len(picture.figure.axes) == 24
    inside_without_overlap(picture.figure)


def test_a_legend_of_long_names_lies_inside_of_the_canvas_and_on_no_panel():
    with house_style():
        figure = new_figure(9.6, 4.3)
        panels(figure, 1, 2, share=False)
        looks = styles(eight.FAMILIES)
        entries = [
            mark(f"{name_of(family)}: γ = 0.123 [0.101, 0.202]", color=look.colour, marker=look.marker)
            for family, look in looks.items()
        ]
        legend_below(figure, entries)
        inside_without_overlap(figure)
        assert len(figure.legends[0].get_texts()) == 8


def inside_without_overlap(figure):
    """Assert that legends and titles lie inside of the canvas, the legend on no panel, and its entries apart."""
    figure.canvas.draw()
    whole, renderer = figure.bbox, figure.canvas.get_renderer()
    (legend,) = figure.legends
    box = legend.get_window_extent(renderer)
    assert whole.x0 <= box.x0
    assert box.x1 <= whole.x1
    assert whole.y0 <= box.y0
    for axes in figure.axes:
        assert not box.overlaps(axes.get_window_extent(renderer))
        for title in (axes.title, axes._left_title, axes._right_title):
            assert title.get_window_extent(renderer).x1 <= whole.x1
    texts = [text.get_window_extent(renderer) for text in legend.get_texts()]
    assert not any(first.overlaps(second) for first, second in combinations(texts, 2))


def test_eight_styles_are_told_apart_with_any_colour_vision():
    looks = list(styles(eight.FAMILIES).values())
    for field in ("colour", "marker", "line"):
        assert len({getattr(look, field) for look in looks}) == 8
    for seen_by in SEEN_BY.values():
        seen = [lab(np.clip(seen_by @ linear(look.colour), 0, 1)) for look in looks]
        assert min(np.linalg.norm(first - second) for first, second in combinations(seen, 2)) > 14


SEEN_BY = {
    "all cones": np.eye(3),
    "no red": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "no green": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "no blue": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
}
"""Linear RGB as dichromats see it (Machado, Oliveira and Fernandes 2009, severity 1)."""


def linear(colour: str) -> np.ndarray:
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear sRGB, D65."""
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(matrix @ rgb / np.array([0.9505, 1.0, 1.089]))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize(
    ("column", "unit"), [("tokens", "tokens"), ("D_atoms", "atoms"), ("n_structures", "structures"), ("D", None)]
)
def test_the_unit_of_d_is_what_its_column_says(tmp_path: Path, column: str, unit: str | None):
    path = tmp_path / "points.csv"
    path.write_text(f"params,{column},flops,loss\n1e6,1e9,6e15,3.0\n")
    assert from_file(str(path), {"data": column}, "x").data_unit == unit
    assert from_file(str(path), {"data": column}, "x", "images").data_unit == "images"


def test_the_unit_of_a_sweeps_own_table_is_the_one_its_field_declares(tmp_path: Path):
    field = pa.field("data", pa.float64(), metadata={"unit": "tokens"})
    table = pa.table({"params": [1e6], "data": [1e9], "flops": [6e15], "loss": [3.0]})
    schema = pa.schema([field if one.name == "data" else one for one in table.schema])
    pa.parquet.write_table(table.cast(schema), tmp_path / "points.parquet")
    assert from_file(str(tmp_path / "points.parquet"), {}, "x").data_unit == "tokens"
