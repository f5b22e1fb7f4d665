"""The bytes of a model file: one safetensors file whose metadata holds a JSON text, and a digest of every byte.

    8 bytes          length of the header
    header           JSON: {"__metadata__": {"raysweep": text}, name: {"dtype", "shape", "data_offsets"}, ...}
    tensors          little endian, contiguous

The text is {"format": "raysweep model", "version": ..., "sha256": ..., "body": ...}. The digest is that of the whole
file with zeros in its own place. Any reader of safetensors opens the file; nothing in it is ever executed.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pyarrow import fs
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from raysweep.core.errors import ModelError
from raysweep.core.hashing import canonical_json, digest
from raysweep.core.io.files import open_location, read_whole, write_whole

FORMAT = "raysweep model"
KEY = "raysweep"
LONGEST_HEADER = 16 * 2**20
"""Bytes; a header lists the tensors, about 100 bytes each."""
_NO_DIGEST = "0" * 64
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")


@dataclass(frozen=True, kw_only=True)
class Content:
    """The content of a model file, of the version that it was written with."""

    version: int
    body: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]


def write_content(location: str, content: Content) -> None:
    """Write a model file, whole or not at all."""
    filesystem, path = open_location(location)
    write_whole(filesystem, path, to_bytes(content))


def to_bytes(content: Content) -> bytes:
    """Serialise the content: equal content gives equal bytes."""
    text = canonical_json(
        {"format": FORMAT, "version": content.version, "sha256": _NO_DIGEST, "body": content.body}, allow_nan=False
    )
    tensors = {name: content.tensors[name].detach().cpu().contiguous() for name in sorted(content.tensors)}
    blob = save_tensors(tensors, metadata={KEY: text})
    assert blob.count(_NO_DIGEST.encode(), 0, 8 + _header_length(blob)) == 1
    return blob.replace(_NO_DIGEST.encode(), digest(blob).encode(), 1)


def read_content(location: str) -> Content:
    """Read a model file of any version.

    Raises:
        ModelError: there is no such file, or it is not a whole, unaltered model file.
    """
    filesystem, path = open_location(location)
    _check_extent(filesystem, path, location)
    blob = read_whole(filesystem, path)
    if blob is None:
        raise ModelError(f"{location}: there is no such file; write one with `raysweep export`")
    return from_bytes(blob, location)


def from_bytes(blob: bytes, name: str) -> Content:
    """Parse the bytes of a model file; see `read_content`.

    Args:
        blob: the file.
        name: of the file, for messages.
    """
    _check_start(blob[:8], len(blob), name)
    text = _metadata(blob, name)
    try:
        found = json.loads(text)
        kind, version, stated, body = (found[key] for key in ("format", "version", "sha256", "body"))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{name}: its metadata {KEY!r} cannot be read ({type(error).__name__}); {_AGAIN}") from error
    if kind != FORMAT or type(version) is not int or not isinstance(body, dict) or not isinstance(stated, str):
        raise ModelError(f"{name}: its metadata {KEY!r} is not that of a {FORMAT} file; {_AGAIN}")
    if len(stated) != 64 or digest(blob.replace(stated.encode(), _NO_DIGEST.encode(), 1)) != stated:
        raise ModelError(f"{name}: altered or damaged, its content does not match its sha256; {_AGAIN}")
    try:
        tensors = load_tensors(blob)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:  # a type that torch does not have
        raise ModelError(f"{name}: its tensors cannot be read ({_line(error)}); {_AGAIN}") from error
    return Content(version=version, body=body, tensors=tensors)


_AGAIN = "copy the file again, or write it again with `raysweep export`"


def _header_length(blob: bytes) -> int:
    return int(struct.unpack("<Q", blob[:8])[0])


def _check_extent(filesystem: fs.FileSystem, path: str, location: str) -> None:
    """Refuse a file by its first bytes, before all of it is read."""
    info = filesystem.get_file_info(path)
    if info.type == fs.FileType.Directory:
        raise ModelError(f"{location}: a folder; give the path of a model file")
    if not info.is_file or not info.size:
        return  # reported where it is read
    with filesystem.open_input_stream(path) as stream:
        _check_start(stream.read(8), info.size, location)


def _check_start(start: bytes, size: int, name: str) -> None:
    if start.startswith(_PICKLES):
        raise ModelError(
            f"{name}: a pickle or a zip archive, as torch.save writes them; such files can execute code and are never "
            "loaded. Give a model file, written by `raysweep export`"
        )
    if size < 8 or len(start) < 8:
        raise ModelError(f"{name}: {size} bytes, too short for a model file; {_AGAIN}")
    length = _header_length(start)
    if length > LONGEST_HEADER:
        raise ModelError(
            f"{name}: it states a header of {length} bytes, beyond {LONGEST_HEADER}: not a model file; {_AGAIN}"
        )
    if 8 + length > size:
        raise ModelError(f"{name}: it ends within its header: cut off, or not a model file; {_AGAIN}")


def _metadata(blob: bytes, name: str) -> str:
    """Extract the metadata text from the header; safetensors itself checks the rest when it reads the tensors."""
    try:
        header = json.loads(blob[8 : 8 + _header_length(blob)])
        text = header["__metadata__"][KEY]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{name}: no {KEY!r} in its metadata: not a model file of raysweep, or damaged") from error
    if not isinstance(text, str):
        raise ModelError(f"{name}: metadata {KEY!r} is a {type(text).__name__}, not text; {_AGAIN}")
    return text


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
