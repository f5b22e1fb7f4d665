"""Refits of a hyperparameter surface: their window follows their own bottom."""

from dataclasses import replace

import numpy as np
from twins import twin

from raysweep.frontier.hyperparameters.estimate import _in_window
from raysweep.frontier.hyperparameters.fitting import fit_runs, refit, resampling_units
from raysweep.frontier.hyperparameters.preparing import prepare
from raysweep.frontier.hyperparameters.reading import runs_table


def test_a_refit_without_a_cell_is_the_fit_of_the_others_in_a_window_of_the_same_height():
    table = runs_table(twin(0), None)
    prepared = prepare(table, np.arange(table.num_rows))
    fitted, _ = fit_runs(prepared.runs, prepared.axes, prepared.given, batch_with_params=False)
    assert fitted is not None
    unit, by_cells = resampling_units(fitted)
    assert by_cells
    alone = refit(fitted, 1, 0).leave_one_out
    assert alone is not None
    law = fitted.law
    for place in range(0, int(unit.max()) + 1, 3):
        kept = unit != place
        cells = np.unique(fitted.valley.cell[kept], return_inverse=True)
        others = replace(
            fitted.valley,
            logs=fitted.valley.logs[kept],
            loss=fitted.valley.loss[kept],
            cell=cells[1].reshape(-1),
            designs=tuple(design[cells[0]] for design in fitted.valley.designs),
            scale=fitted.valley.scale[cells[0]],
        )
        exact = _in_window(others, fitted.runs.weight[kept], fitted.estimated.theta, fitted.estimated.window)
        assert exact is not None
        for axis in ("learning_rate", "batch"):
            whole, step, want = (
                float(np.ravel(np.asarray(one.of(axis).data))[where])
                for one, where in ((law, 0), (alone, place), (fitted.laws(exact.theta), 0))
            )
            assert abs(step - want) < 0.15 * abs(want - whole) + 5e-4
