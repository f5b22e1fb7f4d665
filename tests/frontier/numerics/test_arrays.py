"""Numbers and arrays as JSON."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.frontier.numerics.arrays import AsJson


@given(st.lists(st.floats(), max_size=20))
def test_floats_come_back_to_the_bit_and_what_is_not_finite_is_null(values):
    written = json.dumps(AsJson().write(np.array(values, dtype=float)), allow_nan=False)
    back = AsJson().read(json.loads(written))
    want = [value if math.isfinite(value) else math.nan for value in values]
    np.testing.assert_array_equal(back, np.array(want, dtype=float))


@given(st.floats())
def test_one_number_is_a_number(value):
    back = AsJson().read(AsJson().write(np.asarray(value)))
    assert isinstance(back, float)
    assert back == value or (math.isnan(back) and not math.isfinite(value))


def test_null_is_what_the_field_says_it_is():
    absent = AsJson(absent=-math.inf)
    assert absent.read(None) == -math.inf
    np.testing.assert_array_equal(absent.read([1.0, None]), [1.0, -math.inf])


def test_integers_and_names_keep_their_kind():
    assert AsJson("int").write(np.array([3, 2**62])) == [3, 2**62]
    assert AsJson("int").read([3, 2**62]).dtype == np.int64
    assert AsJson("object").write(np.array(["a", None, 7], dtype=object)) == ["a", None, "7"]
    assert AsJson("object").read(["a", None]).tolist() == ["a", None]


def test_text_is_no_number():
    with pytest.raises(ValueError, match="found str"):
        AsJson().read("1.0")
