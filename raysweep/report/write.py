"""Writes report.html and the figures, unless the same code has already made them from the same points."""

import dataclasses
import json
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from raysweep.core.hashing import digest
from raysweep.core.io.files import open_location, read_whole, write_whole
from raysweep.core.version import PACKAGE_FOLDER, __version__
from raysweep.report.content.questions import Question
from raysweep.report.content.sources import Material
from raysweep.storage import layout

if TYPE_CHECKING:
    from raysweep.report.content.assemble import Assembled


@dataclass(frozen=True, kw_only=True)
class Written:
    """A report that was written."""

    folder: str
    files: tuple[str, ...]
    """Names in the folder, the page first."""
    text: str
    """The answers as text (see `table.text`)."""
    fresh: bool
    """Whether it was made now; False if it existed already."""


def write(
    material: Material, folder: str, question: Question | None = None, assembled: "Assembled | None" = None
) -> Written:
    """Write a report into a folder or under a URI.

    Args:
        material: the content of the report.
        folder: where it is written.
        question: which fit, and where its optimum is wanted; None: the default one.
        assembled: the answers to that question, if they have been computed already.

    Raises:
        FrontierError: the points cannot be read.
    """
    filesystem, root = open_location(folder)
    asked = "" if question is None or question == Question() else question.key()
    key = digest(f"{material.digest()} {_code()} {_versions()}{asked}".encode())
    found = _standing(folder, key)
    if found is not None:
        return found
    # Matplotlib, SciPy and Jinja are imported only where there is something to draw.
    from raysweep.report import table
    from raysweep.report.content.assemble import assemble
    from raysweep.report.figures.figures import draw
    from raysweep.report.html import render

    if assembled is None:
        assembled = assemble(material, question)
    answers = assembled.answers
    drawn = draw(material, assembled)
    files = {layout.REPORT_PAGE: render(material, answers, drawn, _versions()).encode(), **drawn.files}
    if any(race.verdicts for race in material.races):
        last = next(race for race in reversed(material.races) if race.verdicts)
        files[layout.REPORT_VERDICT] = json.dumps(last.verdicts[-1], indent=1).encode()
    text = table.text(answers)
    for name, data in files.items():
        write_whole(filesystem, f"{root}/{name}", data)
    record = {
        "key": key,
        "files": {name: digest(data) for name, data in files.items()},
        "text": text,
        "not_drawn": drawn.absent,
        "answers": dataclasses.asdict(answers),
    }
    write_whole(filesystem, f"{root}/{layout.REPORT_RECORD}", json.dumps(record, indent=1).encode())
    return Written(folder=folder, files=tuple(files), text=text, fresh=True)


def _standing(folder: str, key: str) -> Written | None:
    """Find the report in a folder; None if it is of other points or other code, incomplete or altered."""
    filesystem, root = open_location(folder)
    data = read_whole(filesystem, f"{root}/{layout.REPORT_RECORD}")
    try:
        record = None if data is None else json.loads(data)
    except ValueError:
        return None
    if not isinstance(record, dict) or record.get("key") != key:
        return None
    for name, expected in record["files"].items():
        whole = read_whole(filesystem, f"{root}/{name}")
        if whole is None or digest(whole) != expected:
            return None
    return Written(folder=folder, files=tuple(record["files"]), text=str(record["text"]), fresh=False)


def _code() -> str:
    """Hash the code that fits and draws, so that a newer raysweep never shows an older one's answers."""
    sources = [path for room in ("report", "frontier") for path in (PACKAGE_FOLDER / room).rglob("*")]
    whole = [path.read_bytes() for path in sorted(sources) if path.suffix in (".py", ".j2")]
    return digest(b"\0".join(whole))


def _versions() -> dict[str, str]:
    return {
        "raysweep": __version__,
        **{name: metadata.version(name) for name in ("numpy", "scipy", "matplotlib", "pyarrow")},
    }
