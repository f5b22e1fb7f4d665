import base64
import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest
import synthetic_sweep

from raysweep.core.trial import TrialState
from raysweep.report.content import study
from raysweep.report.content.sources import Material, from_points, from_saved_table
from raysweep.report.content.values import Answers
from raysweep.report.figures.figures import Drawn
from raysweep.report.figures.palette import styles
from raysweep.report.html import render
from raysweep.report.write import write


class Reader(HTMLParser):
    """Collects tags, texts and addresses, and checks that tags are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.text += " " if tag in ("td", "th") else ""

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def test_the_page_says_how_each_rate_was_chosen(material: Material, answers: Answers, drawn: Drawn):
    text = read(render(material, answers, drawn, {"raysweep": "0.1.0"})).text
    for how in ("lowest loss", "middle of the rates that do equally well", "minimum of a parabola"):
        assert how in text
    assert "none was found" not in text


def test_the_cost_of_inference_is_shown_where_it_was_timed(material: Material, answers: Answers, drawn: Drawn):
    plain = read(render(material, answers, drawn, {"raysweep": "0.1.0"})).text
    assert "MD step" not in plain
    costs = (dataclasses.replace(answers.costs[0], md_ms_1000=(3.25, 21.5)), *answers.costs[1:])
    text = read(render(material, dataclasses.replace(answers, costs=costs), drawn, {"raysweep": "0.1.0"})).text
    assert "ms per MD step of 100 atoms" in text
    assert "3.25 … 21.5" in text


def test_the_page_needs_nothing_but_itself(material: Material, answers: Answers, drawn: Drawn):
    page = render(material, answers, drawn, {"raysweep": "0.1.0"})
    reader = read(page)
    assert len(reader.addresses) == len(drawn.files)
    pictures = [re.fullmatch(r"data:image/png;base64,([A-Za-z0-9+/=]+)", address) for address in reader.addresses]
    assert sorted(base64.b64decode(picture[1]) for picture in pictures if picture) == sorted(drawn.files.values())
    assert not {"script", "link", "iframe", "object"} & set(reader.tags)
    assert "url(" not in page
    assert "@import" not in page


def test_the_page_says_what_it_has_to_say(material: Material, answers: Answers, drawn: Drawn):
    text = " ".join(read(render(material, answers, drawn, {"raysweep": "9.9.9"})).text.split())
    for sentence in answers.headline.sentences:
        assert sentence in text
    for fit in answers.families:
        for sentence in fit.sentences:
            assert f"{fit.family}: {sentence}" in text
    assert "mpnn: 18 points, on the starting plateau" in text
    assert "ab" * 32 in text  # the store's fingerprint
    assert answers.digest in text
    assert "9.9.9" in text
    assert "the low end of the rates tried: a better one may lie beyond." in text
    for row in study.rows():
        if row.label != "GemNet-OC":  # no family of this sweep is compared with it
            assert f"study: {row.label} {row.gamma} {row.gamma_from_law} {row.alpha} {row.beta}" in text


def test_the_studys_figures_are_the_published_ones():
    rows = {row.label: row for row in study.rows()}
    assert [rows[name].gamma for name in ("MPNN", "MC-EGNN", "GemNet-OC", "eSEN")] == [0.142, 0.173, 0.255, 0.403]
    for row in rows.values():  # a, b and gamma follow from alpha and beta
        assert abs(row.a - row.beta / (row.alpha + row.beta)) < 2e-3
        assert abs(row.a + row.b - 1) < 1e-9
        assert abs(row.gamma_from_law - row.alpha * row.beta / (row.alpha + row.beta)) < 2e-3
    assert study.nearest("tensor") == rows["eSEN"]
    assert study.nearest("MC_EGNN") == rows["MC-EGNN"]
    assert study.nearest("something else") is None


def test_names_from_a_strangers_file_cannot_become_markup(tmp_path: Path):
    table = synthetic_sweep.points(("mpnn",), sizes=2, budgets=3).select(["params", "data", "flops", "loss"])
    evil = "<script>alert(1)</script>"
    table = table.append_column("architecture", pa.array([evil] * table.num_rows))
    written = write(from_points(table, evil), str(tmp_path))
    page = (tmp_path / written.files[0]).read_text()
    assert evil not in page
    assert "script" not in read(page).tags


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return synthetic_sweep.storage(tmp_path / "small", synthetic_sweep.points(("egnn",), budgets=7))


def test_a_second_report_of_the_same_points_is_not_drawn_again(small: Path, tmp_path: Path):
    folder = str(tmp_path / "report")
    first = write(from_saved_table(str(small)), folder)
    stamps = {path.name: path.stat().st_mtime_ns for path in Path(folder).iterdir()}
    again = write(from_saved_table(str(small)), folder)
    assert (first.fresh, again.fresh) == (True, False)
    assert again.text == first.text
    assert again.files == first.files
    assert {path.name: path.stat().st_mtime_ns for path in Path(folder).iterdir()} == stamps
    assert set(stamps) == {*first.files, "report.json"}


def test_a_report_that_was_touched_or_is_of_other_points_is_made_anew(small: Path, tmp_path: Path):
    folder = tmp_path / "report"
    whole = write(from_saved_table(str(small)), str(folder))
    page = (folder / "report.html").read_bytes()
    (folder / "report.html").write_bytes(page[:1000])
    assert write(from_saved_table(str(small)), str(folder)).fresh
    assert (folder / "report.html").read_bytes() == page  # the same bytes
    (folder / "report.json").write_text("{")
    assert write(from_saved_table(str(small)), str(folder)).fresh
    other = synthetic_sweep.storage(tmp_path / "other", synthetic_sweep.points(("egnn",), noise=0.02))
    changed = write(from_saved_table(str(other)), str(folder))
    assert changed.fresh
    assert changed.text != whole.text


def test_trajectories_that_diverged_are_named_with_their_reason(tmp_path: Path):
    folder = synthetic_sweep.storage(tmp_path / "sweep", synthetic_sweep.points(("egnn",), sizes=2))
    trial = {"trial_id": "00000000000000aa", "family": "egnn", "stage": "grid", "seed": 3, "learning_rate": 0.1}
    listed = [{**trial, "size": '{"width": 8}'}, {**trial, "stage": "learning_rate", "size": "{}"}]
    (folder / "assignments.json").write_text(json.dumps(listed))
    synthetic_sweep.write_state(folder, trial["trial_id"], state="diverged", message="loss is nan at step 12")
    material = from_saved_table(str(folder))
    assert [(row.family, row.size, row.seed, row.state) for row in material.broken] == [
        ("egnn", "width=8", 3, "diverged")
    ]
    write(material, str(tmp_path / "report"))
    assert (
        "egnn, width=8, seed 3: diverged, loss is nan at step 12"
        in read((tmp_path / "report" / "report.html").read_text()).text
    )


@pytest.mark.parametrize("state", TrialState)
def test_a_report_lists_every_trial_that_ended_badly_and_no_other(tmp_path: Path, state: TrialState):
    folder = synthetic_sweep.storage(tmp_path / "sweep", synthetic_sweep.points(("egnn",), sizes=2))
    trial = {"trial_id": "1" * 16, "family": "egnn", "stage": "grid", "seed": 3, "size": json.dumps({"width": 8})}
    (folder / "assignments.json").write_text(json.dumps([{**trial, "learning_rate": 0.1}]))
    # As older versions wrote it: a file name that is not UTF-8, colours, a password.
    message = "Traceback\n\x1b[31mOSError: 'caf\udce9\x00' <b> http://joe:hunter2@host\x1b[0m\n \n"
    message = message if state.ended_badly else None
    synthetic_sweep.write_state(folder, trial["trial_id"], state=str(state), message=message)
    write(from_saved_table(str(folder)), str(tmp_path / "report"))
    page = (tmp_path / "report" / "report.html").read_text()
    shown = f"seed 3: {state.replace('_', ' ')}, OSError: 'caf\\xe9\\x00' <b> http://joe:***@host"
    assert (shown in read(page).text) == state.ended_badly
    assert "hunter2" not in page


def test_a_report_before_the_end_names_what_is_missing_and_keeps_the_colours(tmp_path: Path):
    folder = synthetic_sweep.storage(tmp_path / "sweep", synthetic_sweep.points(("egnn",), sizes=2))
    row = {"family": "egnn", "stage": "grid", "seed": 0, "learning_rate": 0.1, "size": "{}"}
    listed = [{**row, "trial_id": f"{i:016d}"} for i in range(3)]
    listed.insert(0, {**row, "trial_id": f"{9:016d}", "family": "mpnn"})
    (folder / "assignments.json").write_text(json.dumps(listed))
    for i, state in enumerate(("done", "running")):
        synthetic_sweep.write_state(folder, f"{i:016d}", state=state)
    material = from_saved_table(str(folder))
    assert material.incomplete() == (
        "The sweep is not complete: 1 of 4 trajectories have ended; "
        "there is no point of mpnn, tensor-l1, tensor-l2 yet."
    )
    assert (
        styles(material.families(), material.planned_families())["egnn"].colour == "#D55E00"
    )  # as in the whole report


def test_families_stand_in_the_order_of_the_search_space(material: Material):
    assert material.families() == ("mpnn", "egnn", "tensor-l1", "tensor-l2")
    alphabetical = dataclasses.replace(
        material, facts={"space": {"families": dict.fromkeys(sorted(material.families()))}}
    )
    assert alphabetical.families()[0] == "egnn"
    assert dataclasses.replace(alphabetical, order=("tensor-l2", "mpnn")).families()[:2] == ("tensor-l2", "mpnn")
    assert from_points(material.points, "x").families() == ("egnn", "mpnn", "tensor-l1", "tensor-l2")


def test_a_sweep_without_learning_rates_or_facts_has_a_report(tmp_path: Path):
    folder = synthetic_sweep.storage(tmp_path / "sweep", synthetic_sweep.points(("egnn", "tensor-l2")))
    (folder / "learning_rates.json").write_text("{torn")
    (folder / "sweep.json").unlink()
    written = write(from_saved_table(str(folder)), str(tmp_path / "report"))
    assert "learning_rates.png" not in written.files
    assert "Learning rates" not in (tmp_path / "report" / "report.html").read_text()
