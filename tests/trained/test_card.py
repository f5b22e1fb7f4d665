"""The model card says what the model file says, shows hostile texts as texts, and places the point on the frontier."""

import json
import re

import pytest
from markdown_it import MarkdownIt

from raysweep.core.hashing import size_json
from raysweep.core.points import Point
from raysweep.core.text import amount
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.data.elements import SYMBOLS
from raysweep.storage.reader import SweepReader
from raysweep.storage.records import Assignment
from raysweep.storage.trial_store import TrialStore
from raysweep.trained.card import model_card
from raysweep.trained.record import ModelOrigin
from raysweep.trained.standing import frontier_standing

HOSTILE = "x|y\n# top\n<img src=x onerror=alert(1)> [a](javascript:b) ![c](d) `e` *f* _g_ ~~h~~ \u202ei\n```\n"


def with_origin(record, **changes):
    return record.model_copy(update={"origin": record.origin.model_copy(update=changes)})


def test_the_card_has_the_models_data_errors_units_references_and_limits(conservative, store):
    _, model = conservative
    card, point = model.card(), model.record.origin.point
    assert f"energy, mean absolute error: {point['energy_mae']:.4g} eV/atom" in card
    assert f"force, mean L2 norm of the error: {point['force_l2']:.4g} eV/Å" in card
    assert f"N = {amount(point['params'])} trainable" in card
    assert store.manifest.fingerprint in card
    assert model.record.origin.trial_id in card
    for z, energy in model.record.energies.items():
        assert f"| {SYMBOLS[z]} | {energy:.6f} |" in card
    assert "stress: eV/Å³" in card
    assert "conservative, minus the gradient" in card
    assert f"raysweep.load({model.name!r})".replace(str(model.name), model.name.rsplit("/", 1)[-1]) in card
    sections = [line for line in card.splitlines() if line.startswith("#")]
    assert [line.lstrip("# ") for line in sections][1:] == [
        "Data", "Conditions of training", "Errors", "On the frontier", "Units", "Limits", "Provenance", "Use",
    ]  # fmt: skip


def test_limits_follow_the_force_mode(conservative):
    _, model = conservative
    direct = model_card(model.record.model_copy(update={"forces": "direct"}))
    assert "dynamics does not conserve energy" in direct
    assert "no stress" in direct
    assert "dynamics does not conserve energy" not in model.card()
    assert "averaged over frames" in model_card(model.record.model_copy(update={"frames": True}))


def test_hostile_names_are_shown_as_text(conservative):
    _, model = conservative
    plain = with_origin(model.record, family="name")
    hostile = with_origin(
        model.record,
        family=HOSTILE,
        sweep=HOSTILE,
        data={**model.record.origin.data, "source": HOSTILE, "licence": HOSTILE},
        point={**model.record.origin.point, "device": HOSTILE, "seconds": "<b>1</b>"},
        versions={HOSTILE: HOSTILE},
        frontier={"missing": HOSTILE},
    )
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    kinds = []
    for record in (plain, hostile):
        tokens = parser.parse(model_card(record, HOSTILE if record is hostile else "model.rsm"))
        inner = [child.type for token in tokens for child in token.children or ()]
        kinds.append(([t.type for t in tokens if t.type in ("heading_open", "fence", "html_block", "tr_open")], inner))
    assert kinds[0][0] == kinds[1][0]
    ours, found = ([kind for kind in inner if kind != "text"] for _, inner in kinds)
    assert found == ours == ["code_inline"]  # the command that the card names
    assert "\u202e" not in model_card(hostile)


def test_a_description_without_origin_has_no_number_where_none_was_recorded(conservative):
    _, model = conservative
    bare = ModelOrigin(trial_id="0" * 16, spec={}, point={"budget": 1.0})
    card = model_card(model.record.model_copy(update={"origin": bare}))
    assert "N = not recorded" in card
    assert "no comparison: not recorded" in card
    assert "C = not recorded FLOP" in card
    assert not re.search(r"\b(nan|None|inf)\b", card)


@pytest.fixture
def surface(tmp_path):
    """A storage with the points of one family on a known law, L = 0.1 + 8 N^-0.4 + 50 D^-0.5, without noise."""
    trials, rows, last = TrialStore(str(tmp_path)), [], None
    for width in (4, 8, 16, 32, 64):
        spec = TrialSpec(
            architecture="egnn", size={"width": width, "depth": 2}, fingerprint="f" * 64, structures=1000,
            validation_structures=8, forces="direct", batch_atoms=40, learning_rate=0.01,
            data_budgets=(1e4, 3e4, 1e5, 3e5, 1e6),
        )  # fmt: skip
        params, points = 20 * width**2, []
        for step, data in enumerate(spec.data_budgets, start=1):
            points.append(
                Point(
                    trial_id=spec.trial_id, architecture="egnn", size=size_json(spec.size), seed=0, learning_rate=0.01,
                    step=step, budget=data, budget_kind="data", params=params, data=data, unique_data=data,
                    structures=data / 10, edges=data, flops=6.0 * params * data, seconds=1.0,
                    loss=0.1 + 8 * params**-0.4 + 50 * data**-0.5,
                )
            )  # fmt: skip
        claim = trials.begin(spec)
        trials.end(claim, TrialState.DONE, points)
        rows.append(
            Assignment(trial_id=spec.trial_id, family="one", stage="grid", seed=0, size=size_json(spec.size),
                       learning_rate=0.01)
        )  # fmt: skip
        last = points[-1]
    trials.add_assignments(rows)
    return SweepReader(str(tmp_path)), last


def test_the_standing_is_that_of_the_law_the_points_lie_on(surface, conservative):
    reader, point = surface
    found = json.loads(json.dumps(frontier_standing(reader, "one", point)))
    assert found["points"] == 25
    assert found["predicted"][0] == pytest.approx(point.loss, rel=1e-3)
    assert found["extrapolation"] == pytest.approx(1.0)
    params = found["best"]["params"][0]
    ratio = point.flops / 6
    exact = (8 * 0.4 / (50 * 0.5)) ** (1 / 0.9) * ratio ** (0.5 / 0.9)  # of d/dN of 8 N^-0.4 + 50 (C / 6 N)^-0.5
    assert params == pytest.approx(exact, rel=0.02)
    _, model = conservative
    card = model_card(with_origin(model.record, frontier=found))
    assert f"the law expects {found['predicted'][0]:.4g}" in card
    assert f"N = {params:.4g}" in card


def test_a_family_without_a_law_says_why(surface):
    reader, point = surface
    assert "which family" in frontier_standing(reader, None, point)["missing"]
    assert "no law could be fitted" in frontier_standing(reader, "nobody", point)["missing"]


def test_a_storage_without_points_is_named_without_its_place(surface, tmp_path):
    _, point = surface
    missing = frontier_standing(SweepReader(str(tmp_path / "secret" / "absent")), "one", point)["missing"]
    assert "no law could be fitted: the storage" in missing
    assert "secret" not in missing


@pytest.mark.parametrize(("trivial", "useless"), [(2.0, False), (1.0, True), (0.5, True)])
def test_a_model_that_learned_nothing_is_said_to_be_of_no_use(trivial, useless, conservative):
    _, model = conservative
    point = {**model.record.origin.point, "loss": 1.0, "trivial_loss": trivial}
    assert ("**no better than reference" in model_card(with_origin(model.record, point=point))) == useless
