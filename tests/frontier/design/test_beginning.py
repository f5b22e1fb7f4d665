"""Where runs begin to obey a law: after their starting plateau, if they go on for long enough."""

import numpy as np
import pyarrow as pa
import pytest

from raysweep.frontier import fit
from raysweep.frontier.design.beginning import LawBegins, law_begins

SIZES = (1e3, 3e3, 1e4, 3e4)
DATA = 1e5 * 2.0 ** np.arange(8)


def points(leaves: float, trivial: float | None = 1.0, last: int = 8) -> pa.Table:
    """Runs whose loss is that of a trivial model up to an amount of data, and a law's beyond it."""
    rows = [(n, d) for n in SIZES for d in DATA[:last]]
    n, d = (np.array(column) for column in zip(*rows, strict=True))
    loss = np.where(d <= leaves, 0.97, 0.1 + 3.0 * n**-0.4 + 20.0 * d**-0.4)
    columns = {"params": n, "data": d, "flops": 600 * n * d, "loss": loss, "trajectory": [str(one) for one in n]}
    table = pa.table(columns)
    return table if trivial is None else table.append_column("trivial_loss", pa.array(np.full(n.size, trivial)))


def test_a_law_begins_at_once_where_no_point_is_on_a_plateau() -> None:
    assert law_begins(None, points(0.0)) == LawBegins()
    assert law_begins(None, points(1e6, trivial=None)) == LawBegins(), "nothing tells where the plateau is"


def test_runs_that_go_on_for_six_times_the_data_of_their_plateau_show_a_law() -> None:
    shown = law_begins(None, points(1e5))
    assert shown.shown
    assert shown.data == 1e5
    short = law_begins(None, points(4e5, last=5))  # up to 1.6e6
    assert not short.shown
    assert (short.data, short.needed, short.params) == (4e5, pytest.approx(2.4e6), SIZES)
    assert short.why == "0 of 4 runs have not left the starting plateau, the others only just"


def test_runs_that_never_left_their_plateau_need_more_than_six_times_their_data() -> None:
    stuck = law_begins(None, points(1e9))
    assert stuck.why == "no run has left the starting plateau, up to D = 1.28e+07"
    assert stuck.needed == pytest.approx(6 * 1.28e7)
    assert stuck.params == ()


def test_points_after_a_transition_begin_where_the_fit_does() -> None:
    table = points(0.0)
    loss, data = table["loss"].to_numpy(), table["data"].to_numpy()
    late = table.set_column(3, "loss", pa.array(loss * np.exp(0.4 / (1 + (data / 2e5) ** 3))))
    found = fit(late, bootstraps=0, law="additive")
    begins = law_begins(found, late)
    assert begins.shown
    assert begins.data == found.samples.data.min() > DATA[0]
