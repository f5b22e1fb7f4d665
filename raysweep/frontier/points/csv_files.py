"""CSV files of other people: a byte order mark, comments before the header, semicolons, decimal commas."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from raysweep.core.errors import FrontierError
from raysweep.core.io.files import open_location, read_whole
from raysweep.frontier.points.numbers import NotANumberError, decimal_sign, is_missing

_SEPARATORS = ",;\t|"


@dataclass(frozen=True)
class CsvFile:
    """A CSV file: every column as text, and the sign of decimals that its numbers show (None where none does)."""

    table: pa.Table
    decimal: str | None


def csv_file(path: str | Path) -> CsvFile:
    """Read a CSV file with a header, as texts.

    Raises:
        FrontierError: there is no such file, or it is not one with a header and columns.
    """
    text, separator = _body(_decoded(path), path)
    header, rows = text.split("\n", 1)
    names = [name.strip() for name in next(csv.reader([header], delimiter=separator))]
    if len(names) > 1 and 2 * sum(map(bool, names)) < len(names):
        raise FrontierError(
            f"{path}: the first line, {header.strip()!r:.60}, names too few columns to be the header: "
            "remove what stands above the header, or begin those lines with #"
        )
    if not rows.strip():
        return CsvFile(table=pa.table([pa.array([], pa.string())] * len(names), names=names), decimal=None)
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(rows.encode()),
            read_options=pyarrow.csv.ReadOptions(column_names=names),
            parse_options=pyarrow.csv.ParseOptions(delimiter=separator),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=True,
                null_values=["", "NA", "null", "None"],
            ),
        )
    except pa.ArrowException as error:
        raise FrontierError(f"{path}: {_ragged(rows, names, separator) or f'not a CSV file: {error}'}") from error
    return CsvFile(table=table, decimal=_file_decimal(table, separator))


def _ragged(rows: str, names: Sequence[str], separator: str) -> str | None:
    """Say which row has more or fewer cells than the header; None where all have as many."""
    lines = (cells for cells in csv.reader(io.StringIO(rows), delimiter=separator) if cells)
    for number, cells in enumerate(lines, 1):
        if len(cells) != len(names):
            counted = f"{len(cells)} cell{'s' if len(cells) > 1 else ''}"
            return (
                f"row {number} has {counted}, the header {len(names)} ({separator.join(cells)!r:.60}): complete the "
                "row, or put numbers with commas in quotes"
            )
    return None


def csv_table(path: str | Path) -> pa.Table:
    """Read a CSV file with a header; columns of plain numbers are converted, others stay text.

    Raises:
        FrontierError: as `csv_file`.
    """
    return plain_numbers(csv_file(path))


def plain_numbers(file: CsvFile) -> pa.Table:
    """Convert the columns that are plain numbers, where the file's sign of decimals leaves no doubt about them."""
    table = file.table
    for place, name in enumerate(table.column_names):
        for kind in (pa.int64(), pa.float64()) if file.decimal != "," else (pa.int64(),):
            try:
                column = table.column(place).cast(kind)
            except pa.ArrowException:
                continue
            table = table.set_column(place, name, column)
            break
    return table


def _decoded(path: str | Path) -> str:
    """Read a file as text: UTF-8, UTF-16 with its mark (as spreadsheets write it), else the Western code page."""
    filesystem, place = open_location(path)
    whole = read_whole(filesystem, place)
    if whole is None:
        raise FrontierError(f"{path}: there is no such file")
    data = bytes(whole)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace").removeprefix("\ufeff")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _body(text: str, path: str | Path) -> tuple[str, str]:
    """The text from its header on, and the separator of its columns."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    first = 0
    while first < len(lines) and not lines[first].strip():
        first += 1
    if first < len(lines) and lines[first].lower().startswith("sep=") and len(lines[first].strip()) == len("sep=;"):
        first += 1
    comments = [line for line in lines[first:] if line.startswith("#")]
    if comments and lines[first].startswith("#"):
        first += next((k for k, line in enumerate(lines[first:]) if not line.startswith("#")), len(lines))
        if first < len(lines) and _is_numeric(lines[first]):  # the last comment is the header, as numpy.savetxt has it
            first -= 1
            lines[first] = lines[first].lstrip("# ")
    kept = [line for line in lines[first:] if not line.startswith("#")]
    if not kept or not kept[0].strip():
        raise FrontierError(f"{path}: not a CSV file with a header: it is empty")
    counts = {sign: _outside_quotes(kept[0]).count(sign) for sign in _SEPARATORS}
    separator = max(counts, key=lambda sign: counts[sign])
    if not counts[separator] and len(kept[0].split()) > 1:
        raise FrontierError(f"{path}: columns are separated by blanks: write them with commas")
    return "\n".join(kept) + "\n", separator if counts[separator] else ","


def _outside_quotes(line: str) -> str:
    return "".join(line.split('"')[::2])


def _is_numeric(line: str) -> bool:
    for sign in _SEPARATORS:
        line = line.replace(sign, " ")
    try:
        return bool([float(cell) for cell in line.split()])
    except ValueError:
        return False


def _file_decimal(table: pa.Table, separator: str) -> str | None:
    """The sign of decimals that columns agree on; a comma where columns are separated by something else and use it."""
    signs = set()
    commas = False
    for column in table.itercolumns():
        cells = ["" if is_missing(cell) else (cell or "").strip().lower() for cell in column.to_pylist()]
        if not all(set(cell) <= set("0123456789.,e+- '") for cell in cells):
            continue
        commas = commas or any("," in cell for cell in cells)
        try:
            signs.add(decimal_sign(cells))
        except NotANumberError:
            continue
    signs.discard(None)
    if len(signs) == 1:
        return signs.pop()
    return "," if commas and separator != "," and not signs else None
