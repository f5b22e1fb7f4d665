"""Figures that check fits: valleys, residuals, local exponents, windows, and predictions of larger runs.

Each takes `Fit`s by family (or one `Fit`) and returns a `Picture`, whose `figure` is matplotlib's.
"""

from raysweep.report.figures.checks.local_exponents import exponent_figure
from raysweep.report.figures.checks.origins import origin_figure
from raysweep.report.figures.checks.picture import NothingToDraw, Picture
from raysweep.report.figures.checks.residuals import residual_figure
from raysweep.report.figures.checks.valleys import valley_figure
from raysweep.report.figures.checks.windows import window_figure

__all__ = [
    "NothingToDraw",
    "Picture",
    "exponent_figure",
    "origin_figure",
    "residual_figure",
    "valley_figure",
    "window_figure",
]
