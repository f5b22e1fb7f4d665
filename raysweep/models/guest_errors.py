"""Errors of other packages' networks, reported in one line with the network, the error and its location."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from raysweep.core.errors import RaysweepError, SpaceError
from raysweep.models.plug_ins import BUILT_IN

_OURS, _TORCHS = (str(Path(of).parent) for of in (Path(__file__).parent, torch.__file__))

_TWICE = "Conservative forces are differentiated twice: without a second derivative use `forces: direct`."


@contextmanager
def guest_errors(name: str, doing: str) -> Iterator[None]:
    """Run the code of an architecture; an error of another package's code becomes a SpaceError.

    Errors of raysweep's own architectures are bugs, and a full GPU is not the network's fault: neither is changed.

    Args:
        name: of the architecture.
        doing: the activity of its network, as a phrase: "a training step".
    """
    try:
        yield
    except (RaysweepError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if name in BUILT_IN:
            raise
        said = " ".join(str(error).split()).removesuffix(".") or "no reason given"
        twice = "derivative" in said or "double backward" in said
        raise SpaceError(
            f"architecture {name!r}: {doing} fails with {type(error).__name__}{_location(error)}: {said}. "
            + (_TWICE if twice else "Fix the package that adds it, or give it a size that it supports.")
        ) from error


def _location(error: BaseException) -> str:
    """The innermost line that is neither raysweep's nor torch's."""
    theirs = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((_OURS, _TORCHS, "<")) and "contextlib" not in frame.filename
    ]
    return f" ({theirs[-1].filename}, line {theirs[-1].lineno})" if theirs else ""
