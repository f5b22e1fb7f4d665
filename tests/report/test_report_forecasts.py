"""The page shows every forecast beside its outcome, and the share inside."""

import dataclasses

from forecast_values import outcome

from raysweep.report.content.sources import Material
from raysweep.report.content.values import Answers
from raysweep.report.figures.figures import Drawn
from raysweep.report.html import render
from raysweep.storage.forecasts import Forecasts


def test_forecasts_stand_beside_their_outcomes(material: Material, answers: Answers, drawn: Drawn):
    found = Forecasts(
        outcomes=(
            outcome(0.41),
            outcome(0.46, flops=1e15),
            outcome(None, flops=2e15),
            outcome(0.4, kind="retrodiction"),
            outcome(0.4, blind=False, flops=4e15),
        ),
        altered=("forecasts/0123.json was altered and does not count",),
    )
    totals = found.totals
    assert (totals.recorded, totals.proved, totals.inside, totals.others) == (3, 2, 1, 2)
    assert abs(totals.median_error - 0.5 * (0.025 + 0.15)) < 1e-12
    page = render(dataclasses.replace(material, forecasts=found), answers, drawn, {"raysweep": "0.1.0"})
    assert "<h2>Forecasts</h2>" in page
    assert "3 on record before their runs, 2 proved by a run, 1 of them inside their intervals (50 %)" in page
    assert page.count("<td>force_l2</td>") == 5
    assert "retrodiction: its run was there" in page
    assert "written after its run began" in page
    assert "0123.json was altered" in page
    for one in found.outcomes:
        assert one.id in page


def test_a_sweep_without_forecasts_has_no_such_section(material: Material, answers: Answers, drawn: Drawn):
    assert "Forecasts</h2>" not in render(material, answers, drawn, {"raysweep": "0.1.0"})
    assert material.digest() != dataclasses.replace(material, forecasts=Forecasts(outcomes=(outcome(None),))).digest()
