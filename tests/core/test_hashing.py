import hashlib
import json

import pytest

from raysweep.core.hashing import canonical_json, content_id, digest, size_json

CONTENT = {"width": 32, "depth": 2, "lr": 1e-3, "öfter": [True, None, "x"]}


def test_the_text_does_not_depend_on_the_order_of_keys():
    turned = dict(reversed(CONTENT.items()))
    assert canonical_json(CONTENT) == canonical_json(turned)
    assert content_id(CONTENT) == content_id(turned)


def test_both_spellings_are_those_of_json_that_ids_on_disks_were_made_with():
    assert canonical_json(CONTENT) == json.dumps(CONTENT, sort_keys=True, separators=(",", ":"))
    assert canonical_json(CONTENT, spaced=True) == json.dumps(CONTENT, sort_keys=True)
    assert canonical_json({"b": 1, "a": [1, 2]}) == '{"a":[1,2],"b":1}'
    assert canonical_json({"b": 1, "a": [1, 2]}, spaced=True) == '{"a": [1, 2], "b": 1}'


def test_an_id_is_the_beginning_of_the_digest_of_the_text():
    whole = hashlib.sha256(b'{"depth":2,"width":32}').hexdigest()
    assert content_id({"width": 32, "depth": 2}) == whole == digest(b'{"depth":2,"width":32}')
    assert content_id({"width": 32, "depth": 2}, 16) == "920cc72a2f6f9477" == whole[:16]
    spaced = hashlib.sha256(b'{"depth": 2, "width": 32}').hexdigest()
    assert content_id({"width": 32, "depth": 2}, 10, spaced=True) == spaced[:10]


def test_numbers_that_json_does_not_have_are_refused_where_asked():
    assert canonical_json([float("nan")]) == "[NaN]"
    with pytest.raises(ValueError, match="not JSON compliant"):
        content_id([float("inf")], allow_nan=False)


def test_a_size_is_written_as_points_carry_it():
    assert size_json({"width": 32, "depth": 2}) == '{"depth": 2, "width": 32}'
