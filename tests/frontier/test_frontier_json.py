"""A fit as JSON: the same bytes as ever, and everything back."""

from pathlib import Path

import numpy as np
import pytest
from surfaces import CHINCHILLA, valleys

from raysweep.core.errors import FrontierError
from raysweep.frontier import fit, from_json, to_json
from raysweep.frontier.laws.laws import Curve, Surface

WRITTEN = sorted((Path(__file__).parent / "fits").glob("*.json"))
"""Fits of every law and approach, refused ones and odd points among them, as earlier versions wrote them."""


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.stem)
def test_a_fit_of_an_earlier_version_is_read_and_written_byte_for_byte(path):
    assert len(WRITTEN) == 11
    text = path.read_text()
    assert to_json(from_json(text)) == text


def test_what_an_earlier_version_wrote_has_its_types_back():
    folder = WRITTEN[0].parent
    found = from_json((folder / "excluded.json").read_text())
    assert isinstance(found.estimate, Surface)
    assert found.samples.row.dtype == found.draw_ids.dtype == np.int64
    assert set(found.samples.trajectory[:5]) > {None}
    assert (found.excluded[0].row, found.excluded[0].kind.value) == (0, "excluded_by_user")
    assert isinstance(from_json((folder / "isoflop.json").read_text()).draws, Curve)
    assert from_json((folder / "refused.json").read_text()).estimate is None
    seconds = from_json((folder / "seconds.json").read_text())
    assert (seconds.samples.device, seconds.samples.cost_name) == ("H200", "seconds")


@pytest.mark.parametrize("method", ["parametric", "isoflop", "envelope"])
def test_json_gives_an_equal_fit_back(method):
    found = fit(valleys(CHINCHILLA, noise=0.005), method=method, bootstraps=60)
    back = from_json(to_json(found))
    assert back.law == found.law
    assert back.status == found.status
    assert back.optimal(flops=1e24) == found.optimal(flops=1e24)
    assert back.interval("a") == found.interval("a")
    assert to_json(back) == to_json(found)
    for name in ("estimate", "draws", "leave_one_out"):
        law, read = getattr(found, name), getattr(back, name)
        for field in vars(law):
            if field != "cost":
                np.testing.assert_array_equal(getattr(read, field), getattr(law, field), err_msg=f"{name}.{field}")


def test_altered_json_is_refused():
    text = to_json(fit(valleys(CHINCHILLA, noise=0.005), bootstraps=0))
    digits = '"loss": [' + text.split('"loss": [')[1][:6]
    with pytest.raises(FrontierError, match="digest"):
        from_json(text.replace(digits, '"loss": [9.9999'))
    with pytest.raises(FrontierError, match="torn"):
        from_json(text[:-20])


@pytest.mark.parametrize("law", ["params", "data"])
def test_the_absent_term_of_a_law_is_absent_again(law):
    found = fit(valleys(CHINCHILLA, noise=0.005), law=law, bootstraps=60)
    back = from_json(to_json(found))
    absent = "log_B" if law == "params" else "log_A"
    for name in ("estimate", "draws", "leave_one_out"):
        assert np.all(np.isneginf(getattr(getattr(back, name), absent)))
        assert np.all(np.isposinf(getattr(back, name).log_repeats))


@pytest.mark.parametrize(
    ("old", "new"),
    [('"starts": 64', '"starts": "many"'), ('"severity": "NOTE"', '"severity": "SO-SO"'), ('"seed": 0, ', "")],
)
def test_json_that_no_fit_wrote_is_refused(old, new):
    text = to_json(fit(valleys(CHINCHILLA, noise=0.005), bootstraps=0))
    assert old in text
    with pytest.raises(FrontierError, match="not a fit written by to_json"):
        from_json(text.replace(old, new))
