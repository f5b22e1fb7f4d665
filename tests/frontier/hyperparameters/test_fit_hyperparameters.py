"""Laws of the best learning rate and batch size: recovered from simulated runs, refused where nothing shows them."""

import dataclasses
import math

import numpy as np
import pyarrow as pa
import pytest
from twins import BATCH, CELLS, RATE, RATES, best_batch, best_rate, twin

from raysweep.core.errors import FrontierError
from raysweep.frontier import (
    fit_hyperparameters,
    fit_hyperparameters_families,
    hyperparameters_from_json,
    hyperparameters_to_json,
)
from raysweep.frontier.points.findings import Kind

SPARSE = 2.0 ** np.arange(14, 23, 2)
"""Five batch sizes, to be quick."""


def kinds(found):
    return {finding.kind for finding in found.status.findings}


def reasons(found, kind):
    return [item for item in found.excluded if item.kind is kind]


def test_the_law_of_noise_free_parabolas_is_recovered_exactly():
    table = twin(0, noise=0.0, scatter=0.0, batches=None)
    u = [
        math.log(r / best_rate(n, d))
        for n, d, r in zip(*(table[k] for k in ("params", "data", "learning_rate")), strict=True)
    ]
    table["loss"] = [3.0 * n**-0.05 * math.exp(0.01 * x**2) for n, x in zip(table["params"], u, strict=True)]
    found = fit_hyperparameters(table, bootstraps=0)
    assert found.exponent("a").value == pytest.approx(RATE[1], abs=1e-9)
    assert found.exponent("b").value == pytest.approx(RATE[2], abs=1e-9)
    setting = found.best(3e8, 3e10).learning_rate
    assert setting.value.value == pytest.approx(best_rate(3e8, 3e10), rel=1e-8)
    assert setting.value.interval is None
    reach = math.sqrt(math.log(1.005) / 0.01)
    near = [setting.value.value * math.exp(-reach), setting.value.value * math.exp(reach)]
    assert setting.near == pytest.approx(near, rel=1e-6)
    assert found.best(3e8, 3e10).batch is None
    with pytest.raises(FrontierError, match="no law of the batch"):
        found.exponent("c")


def test_exponents_of_a_simulated_grid_lie_in_their_intervals_and_failed_runs_do_no_harm():
    found = fit_hyperparameters(twin(1, batches=SPARSE, failed=0.05), bootstraps=100)
    assert found.status.ok
    assert found.by_cells
    assert found.units == len(CELLS)
    for name, truth in (("a", RATE[1]), ("b", RATE[2]), ("c", BATCH[1])):
        answer = found.exponent(name)
        assert truth in answer.interval, name
        assert abs(answer.value / truth - 1) < 0.1, name
    best = found.best(1e9, 1e11)
    assert best_rate(1e9, 1e11) in best.learning_rate.value.interval
    assert best_batch(1e11) in best.batch.value.interval
    assert best.extrapolation == 1.0
    assert found.best(2e9, 5e11).extrapolation == pytest.approx(5.0)
    assert Kind.OUTLIERS in kinds(found)
    assert found.gradient_norm < 1e-6


def test_intervals_cover_and_the_valleys_steep_side_leaves_little_bias():
    held, values = [], []
    for seed in range(12):
        found = fit_hyperparameters(twin(seed, batches=None), bootstraps=50)
        held.append([RATE[1] in found.exponent("a").interval, RATE[2] in found.exponent("b").interval])
        values.append([found.exponent("a").value, found.exponent("b").value])
    assert np.mean(held) > 0.85
    bias = np.mean(values, axis=0) - np.array(RATE[1:])
    assert np.all(np.abs(bias) < 2.5 * np.std(values, axis=0) / math.sqrt(12) + 0.005)


def test_cells_whose_best_run_is_at_the_edge_are_left_out_named_and_do_not_bias():
    whole = twin(2, batches=None, scatter=0.0)
    edge = [
        n == 1e9 and d == 1e11 and r > 0.36 * best_rate(n, d)
        for n, d, r in zip(whole["params"], whole["data"], whole["learning_rate"], strict=True)
    ]
    cut = {
        name: [value for value, gone in zip(column, edge, strict=True) if not gone] for name, column in whole.items()
    }
    found = fit_hyperparameters(cut, bootstraps=60)
    left_out = reasons(found, Kind.OPTIMUM_AT_EDGE)
    rows = {row for row in range(len(cut["loss"])) if cut["params"][row] == 1e9 and cut["data"][row] == 1e11}
    assert {item.row for item in left_out} == rows
    assert "highest learning rate tried" in left_out[0].reason
    sentence = next(one.sentence for one in found.status.findings if one.kind is Kind.OPTIMUM_AT_EDGE)
    assert "N = 1e+09, D = 1e+11" in sentence
    assert RATE[1] in found.exponent("a").interval
    assert len(found.cells) == len(CELLS) - 1


def test_far_runs_and_diverged_ones_are_listed_each_with_its_reason():
    table = twin(3, batches=None)
    table["loss"][5] = float("nan")
    table["loss"][-1] *= 3.0
    table["loss"].append(table["loss"][0])
    for name in ("params", "data", "learning_rate"):
        table[name].append(table[name][0])
    found = fit_hyperparameters(table, bootstraps=0)
    assert [item.row for item in reasons(found, Kind.NOT_FINITE)] == [5]
    assert [item.row for item in reasons(found, Kind.DUPLICATES)] == [len(table["loss"]) - 1]
    assert all("beyond the window" in item.reason for item in reasons(found, Kind.FAR_FROM_OPTIMUM))
    assert found.samples.count + len(found.excluded) == len(table["loss"])
    assert not {item.row for item in found.excluded} & set(found.samples.row.tolist())


@pytest.mark.parametrize(
    ("cells", "kind", "gone", "kept"),
    [
        ([(2e8, d) for d in (2e9, 8e9, 3e10, 1e11)], Kind.ONE_SIZE_ONLY, ("a",), ("b", RATE[2])),
        ([(n, 1e10) for n in (6e7, 2e8, 5e8, 1e9)], Kind.ONE_DATA_ONLY, ("b",), ("a", RATE[1])),
        ([(d / 20, d) for d in (2e9, 6e9, 1.2e10, 2e10)], Kind.DEPENDENT_DESIGN, ("a", "b"), None),
    ],
)
def test_an_exponent_that_the_cells_leave_open_is_refused_and_the_others_are_given(cells, kind, gone, kept):
    found = fit_hyperparameters(twin(4, cells=cells, batches=None, scatter=0.0), bootstraps=60)
    assert found.status.kind is kind
    for name in gone:
        with pytest.raises(FrontierError, match="cannot be"):
            found.exponent(name)
    if kept is not None:
        assert kept[1] in found.exponent(kept[0]).interval
    at = cells[1]
    assert found.best(*at).learning_rate.value.value == pytest.approx(best_rate(*at), rel=0.1)
    with pytest.raises(FrontierError, match="ask for"):
        found.best(at[0] * 3, at[1] / 3)
    assert Kind.TOO_FEW_TRAJECTORIES in kinds(found)
    assert not found.by_cells


def test_the_batch_size_alone_has_a_law_and_may_depend_on_n_on_request():
    table = twin(5, rates=[1e-3], scatter=0.0)
    del table["learning_rate"]
    centred = {
        **table,
        "loss": list(np.exp(0.01 * np.log(np.array(table["batch"]) / (0.58 * np.array(table["data"]) ** 0.571)) ** 2)),
    }
    found = fit_hyperparameters(centred, bootstraps=60)
    assert found.exponent("c").value == pytest.approx(BATCH[1], abs=1e-6)
    assert set(found.exponents) == {"c"}
    assert found.known.learning_rate is None
    free = fit_hyperparameters(centred, batch_with_params=True, bootstraps=0)
    assert free.exponent("e").value == pytest.approx(0.0, abs=1e-6)


def test_a_batch_size_tried_at_two_values_has_no_law_but_the_rate_s_is_found_at_each():
    table = twin(8, batches=[2.0**17, 2.0**19], scatter=0.0)
    found = fit_hyperparameters(table, bootstraps=60)
    assert found.known.axes() == ("learning_rate",)
    assert Kind.TOO_FEW_SETTINGS in kinds(found)
    assert RATE[1] in found.exponent("a").interval
    with pytest.raises(FrontierError, match="give batch="):
        found.best(1e9, 1e10)
    small, large = (found.best(1e9, 1e10, batch=batch).learning_rate.value.value for batch in (2.0**17, 2.0**19))
    assert large > small  # the valley of the twin leans that way


def test_two_rates_in_each_cell_are_refused_and_in_one_cell_left_out():
    two = fit_hyperparameters(twin(7, rates=[1e-3, 2e-3], batches=None), bootstraps=0)
    assert two.status.kind is Kind.TOO_FEW_SETTINGS
    with pytest.raises(FrontierError, match="try 3 or more"):
        two.best(1e9, 1e10)
    table = twin(7, batches=None)
    kept = [
        n != 6e7 or d != 2e9 or r in RATES[6:8]
        for n, d, r in zip(*(table[k] for k in ("params", "data", "learning_rate")), strict=True)
    ]
    part = {name: [value for value, keep in zip(column, kept, strict=True) if keep] for name, column in table.items()}
    found = fit_hyperparameters(part, bootstraps=0)
    assert len(reasons(found, Kind.TOO_FEW_SETTINGS)) == 2
    assert len(found.cells) == len(CELLS) - 1


def test_losses_that_rise_everywhere_are_no_valley():
    table = twin(8, batches=None)
    table["loss"] = [1.0 + rate for rate in table["learning_rate"]]
    found = fit_hyperparameters(table, bootstraps=0)
    assert not found.status.usable
    assert found.status.kind is Kind.OPTIMUM_AT_EDGE
    hill = {
        **table,
        "loss": [
            math.exp(-0.01 * math.log(r / best_rate(n, d)) ** 2)
            for n, d, r in zip(*(table[k] for k in ("params", "data", "learning_rate")), strict=True)
        ],
    }
    assert not fit_hyperparameters(hill, bootstraps=0).status.usable


def test_runs_evaluated_at_several_d_are_drawn_as_whole_trajectories():
    table = twin(9, batches=None)
    table["trajectory"] = [f"{n}-{r}" for n, r in zip(table["params"], table["learning_rate"], strict=True)]
    found = fit_hyperparameters(table, bootstraps=60)
    assert not found.by_cells  # three sizes: too few units of whole cells
    assert found.units == 3 * len(RATES)
    alone = fit_hyperparameters({k: v for k, v in table.items() if k != "trajectory"}, bootstraps=60)
    assert alone.exponent("a").value == found.exponent("a").value
    assert alone.by_cells


def test_an_own_name_and_unit_for_each_column_and_the_same_seed_give_the_same_fit():
    table = twin(10, batches=None)
    own = {"N": table["params"], "tokens": table["data"], "lr": table["learning_rate"], "val": table["loss"]}
    columns = {"params": "N", "data": "tokens", "learning_rate": "lr", "loss": "val"}
    first, second = fit_hyperparameters(own, columns, bootstraps=60), fit_hyperparameters(table, bootstraps=60)
    assert hyperparameters_to_json(first) == hyperparameters_to_json(second)
    in_thousands = {**table, "data": [data / 1e3 for data in table["data"]]}
    third = fit_hyperparameters(in_thousands, bootstraps=60)
    assert third.exponent("b").value == pytest.approx(second.exponent("b").value, abs=1e-6)
    one, other = third.best(1e9, 1e7).learning_rate.value, second.best(1e9, 1e10).learning_rate.value
    assert one.value == pytest.approx(other.value, rel=1e-5)


def test_json_keeps_a_fit_to_the_last_bit_and_refuses_torn_or_altered_text():
    found = fit_hyperparameters(twin(11, batches=SPARSE), bootstraps=60)
    text = hyperparameters_to_json(found)
    back = hyperparameters_from_json(text)
    assert hyperparameters_to_json(back) == text
    assert dataclasses.asdict(back.best(1e9, 1e10)) == dataclasses.asdict(found.best(1e9, 1e10))
    with pytest.raises(FrontierError, match="torn"):
        hyperparameters_from_json(text[:-40])
    with pytest.raises(FrontierError, match="altered"):
        hyperparameters_from_json(
            text.replace('"loss": [', '"loss": [1.5, ', 1).replace('"params": [', '"params": [1.0, ', 1)
        )
    refused = fit_hyperparameters({k: v[:2] for k, v in twin(11).items()})
    assert hyperparameters_from_json(hyperparameters_to_json(refused)).status == refused.status


def test_families_are_fitted_apart():
    table = pa.concat_tables([pa.table(twin(seed, batches=None)) for seed in (12, 13)])
    names = ["egnn"] * (table.num_rows // 2) + ["mpnn"] * (table.num_rows // 2)
    table = table.append_column("architecture", pa.array(names))
    fits = fit_hyperparameters_families(table, bootstraps=0)
    assert list(fits) == ["egnn", "mpnn"]
    assert (
        fits["egnn"].exponent("a").value
        == fit_hyperparameters(twin(12, batches=None), bootstraps=0).exponent("a").value
    )
    assert fits["mpnn"].samples.row.min() >= table.num_rows // 2
    with pytest.raises(FrontierError, match="fit_hyperparameters_families"):
        fit_hyperparameters(table)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda found: found.best(0, 1e9), "positive"),
        (lambda found: found.best(1e9, math.inf), "positive"),
        (lambda found: found.best(1e9, 1e9, level=1.5), "level"),
        (lambda found: found.exponent("gamma"), "no exponent"),
    ],
)
def test_questions_without_a_meaning_are_refused(call, message):
    with pytest.raises(FrontierError, match=message):
        call(fit_hyperparameters(twin(14, batches=None), bootstraps=0))


@pytest.mark.parametrize("settings", [{"seed": -1}, {"bootstraps": -5}, {"bootstraps": 1.5}, {"exclude": [10**6]}])
def test_settings_without_a_meaning_are_refused(settings):
    with pytest.raises(FrontierError, match=next(iter(settings))):
        fit_hyperparameters(twin(14, batches=None), **settings)
