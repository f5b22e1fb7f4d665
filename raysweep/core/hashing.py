"""Canonical JSON and content hashes: the identity of trials, searches, costs, stores and files.

Equal content has equal text, whatever the order of its keys, and so an equal hash on every machine and Python.
"""

import hashlib
import json
from collections.abc import Mapping


def digest(data: bytes | memoryview) -> str:
    """Compute the SHA-256 of bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def canonical_json(content: object, *, spaced: bool = False, allow_nan: bool = True) -> str:
    """Serialize plain values as JSON with sorted keys.

    Args:
        content: the values.
        spaced: put a space after commas and colons. Some ids and columns were first written so and stay so, since
            a changed byte would be another id.
        allow_nan: whether NaN and infinity, which JSON does not have, are written as Python writes them.

    Raises:
        ValueError: a number is not finite, and `allow_nan` is false.

    >>> canonical_json({"width": 32, "depth": 2})
    '{"depth":2,"width":32}'
    """
    separators = (", ", ": ") if spaced else (",", ":")
    return json.dumps(content, sort_keys=True, separators=separators, allow_nan=allow_nan)


def content_id(content: object, digits: int = 64, *, spaced: bool = False, allow_nan: bool = True) -> str:
    """Compute the first hexadecimal digits of the SHA-256 of the canonical JSON; the options are `canonical_json`'s.

    >>> content_id({"width": 32, "depth": 2}, 16)
    '920cc72a2f6f9477'
    """
    return digest(canonical_json(content, spaced=spaced, allow_nan=allow_nan).encode())[:digits]


def size_json(size: Mapping[str, object]) -> str:
    """Serialize a size as the column `size` of a point has it; also the key by which sizes are compared.

    >>> size_json({"width": 32, "depth": 2})
    '{"depth": 2, "width": 32}'
    """
    return canonical_json(dict(size), spaced=True)
