"""extxyz in the dialects that programs write: the values that were meant, or a refusal by name; the rest is kept."""

import bz2
import gzip
import lzma
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from ase.data import chemical_symbols
from ase.io.extxyz import read_xyz
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raysweep.data.formats.fields.blocks import Bad, Names
from raysweep.data.formats.xyz import extxyz
from raysweep.data.formats.xyz.headers import HeaderError, any_header, plain_header
from raysweep.data.structures import Structures, concatenate

NUMBER_FORMATS = {
    "wide": "{:16.8f}",
    "narrow": "{:.7f}",
    "exponent": "{:.8e}",
    "upper": "{:16.8E}",
    "repr": "{!r}",
    "signed": "{:+.8f}",
    "fortran": "{:.8e}",
}
GROUPS = ("000", "004", "1e5", "True", "nan", "1.0", "T", "CH4", "a-b:c", "é Ω", "", "1,2", "{x}", "it's")
NOISE = (
    "", "flag", "note=[1]", "note=[1, 2, 3]", "comment='two words'", r'name="a \"b\" c"', 'empty=""',
    r'json="_JSON {\"a\": [1, 2]}"', "nested=[[1, 2], [3, 4]]", 'stress="1 0 0 0 1 0 0 0 1"', "step=17", "e=m=c2",
)  # fmt: skip


@dataclass(frozen=True)
class Frame:
    """A frame as it is meant."""

    numbers: np.ndarray
    positions: np.ndarray
    forces: np.ndarray
    energy: float
    cell: np.ndarray | None
    pbc: tuple[bool, bool, bool]
    group: str


@st.composite
def frames(draw: st.DrawFn, energy: float) -> Frame:
    n = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    cell = None
    pbc = (False, False, False)
    if draw(st.booleans()):
        cell = np.round(np.diag([5.0, 6.0, 7.0]) + 0.3 * rng.normal(size=(3, 3)), 6)
        pbc = draw(st.sampled_from([(True, True, True), (False, False, False), (True, True, False)]))
    return Frame(
        numbers=rng.choice([1, 6, 17, 35, 26, 82], n),
        positions=rng.normal(size=(n, 3)) * 10.0 ** rng.integers(-3, 3),
        forces=rng.normal(size=(n, 3)),
        energy=energy,
        cell=cell,
        pbc=pbc,
        group=draw(st.sampled_from(GROUPS)),
    )


@st.composite
def headers(draw: st.DrawFn, frame: Frame, layout: str) -> str:
    """A header that says what a frame has, its keys in any order."""
    number = f"{frame.energy:.4f}"
    energy = draw(st.sampled_from(["energy={}", 'energy="{}"', "energy = {}", "energy=[{}]", "energy={{{}}}"]))
    parts = [energy.format(number), f"Properties={layout}"]
    if frame.cell is not None:
        nine = [f"{x:.6f}" for x in frame.cell.reshape(-1)]
        spaced, commas = " ".join(nine), ", ".join(nine)
        spellings = [f'Lattice="{spaced}"', f"Lattice='{spaced}'", f"Lattice=[{commas}]", f'Lattice = "{commas}"']
        parts.append(draw(st.sampled_from(spellings)))
    plain = ["FT"[one] for one in frame.pbc]
    words = [str(one) for one in frame.pbc]
    spellings = [
        f'pbc="{" ".join(plain)}"', f"pbc=[{', '.join(plain)}]", f'pbc="{" ".join(words)}"',
        f'pbc="{" ".join(str(int(one)) for one in frame.pbc)}"', f"pbc=[{','.join(words)}]",
        f'pbc="[{", ".join(word.lower() for word in words)}]"',
    ]  # fmt: skip
    if len(set(frame.pbc)) == 1:
        spellings += [f"pbc={plain[0]}", f"pbc={words[0]}", f'pbc="{plain[0]}"', f"pbc={int(frame.pbc[0])}"]
    if all(frame.pbc) == (frame.cell is not None) and len(set(frame.pbc)) == 1:
        spellings.append("")
    parts.append(draw(st.sampled_from(spellings)))
    group = frame.group.replace('"', '\\"')
    bare = group.isascii() and group and not set(group) & set(" '{}[]\\")
    parts.append(draw(st.sampled_from([f'group="{group}"', *([f"group={group}"] if bare else [])])))
    parts.append(draw(st.sampled_from(NOISE)))
    parts = [part for part in draw(st.permutations(parts)) if part]
    return draw(st.sampled_from([" ", "  ", "\t"])).join(parts)


@st.composite
def files(draw: st.DrawFn) -> tuple[list[Frame], list[str]]:
    """Frames, and the text of each in a dialect of the file."""
    form = draw(st.sampled_from(sorted(NUMBER_FORMATS)))
    case = draw(st.sampled_from([str, str.upper, str.lower, "Z"]))
    symbol = draw(st.sampled_from(["{:<2}", "{:>2}", "{}", "{:>3}", "{:<4}"]))
    gap = draw(st.sampled_from([" ", "   ", "\t", " \t "]))
    names = draw(st.permutations(["species", "pos", "forces", "tags", "move_mask", "name"]))
    if draw(st.booleans()):  # as ASE writes
        names = ["species", "pos", "forces"]
    kinds = {"species": "S:1", "pos": "R:3", "forces": "R:3", "tags": "I:1", "move_mask": "L:1", "name": "S:1"}
    if case == "Z":
        kinds["Z"] = "I:1"
        names = ["Z" if name == "species" else name for name in names]
    layout = ":".join(f"{name}:{kinds[name]}" for name in names)
    trailing = draw(st.sampled_from(["", " ", "\t"]))

    def number(value: float) -> str:
        text = NUMBER_FORMATS[form].format(float(value))
        return text.replace("e", draw(st.sampled_from("dD"))) if form == "fortran" else text

    found, texts = [], []
    for i in range(draw(st.integers(1, 5))):
        frame = draw(frames(-10.0 - i))
        rows = []
        for z, x, f in zip(frame.numbers, frame.positions, frame.forces, strict=True):
            words = {
                "species": symbol.format((case if callable(case) else str)(chemical_symbols[z])), "Z": str(z),
                "pos": gap.join(map(number, x)), "forces": gap.join(map(number, f)), "tags": "-3",
                "move_mask": "T", "name": "C1'\"",
            }  # fmt: skip
            rows.append(gap.join(words[name] for name in names) + trailing)
        count = draw(st.sampled_from(["{}", "  {}", "{} "])).format(len(rows))
        found.append(frame)
        texts.append("\n".join([count, draw(headers(frame, layout)), *rows]) + "\n")
    return found, texts


def read_all(path: Path) -> tuple[Structures, list[Bad]]:
    parts, bad = [], []
    for span in extxyz.spans(path, Names()):
        for chunk in [span] if isinstance(span, Bad) else extxyz.read(path, span, Names()):
            if isinstance(chunk, Bad):
                bad.append(chunk)
            else:
                one = chunk.structures
                cell, pbc = np.zeros((len(one), 3, 3), np.float32), np.zeros((len(one), 3), bool)
                arrays = {**vars(one), "cell": cell if one.cell is None else one.cell}
                parts.append(Structures(**{**arrays, "pbc": pbc if one.pbc is None else one.pbc}))
    return concatenate(parts), bad


def assert_meant(found: Structures, meant: list[Frame]) -> None:
    found = found.take(np.argsort(-found.energy))
    assert found.energy.tolist() == [frame.energy for frame in meant]
    assert found.cell is not None
    assert found.pbc is not None
    for i, frame in enumerate(meant):
        atoms = slice(found.offsets[i], found.offsets[i + 1])
        assert found.numbers[atoms].tolist() == frame.numbers.tolist()
        np.testing.assert_allclose(found.positions[atoms], frame.positions, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(found.forces[atoms], frame.forces, rtol=1e-6, atol=1e-7)
        assert found.pbc[i].tolist() == list(frame.pbc)
        np.testing.assert_allclose(found.cell[i], np.zeros((3, 3)) if frame.cell is None else frame.cell, atol=1e-5)
        if frame.group:
            assert found.group[i] == frame.group


def assert_as_ase(found: Structures, texts: list[str]) -> int:
    """Compare with ASE what that can read; return how many frames it could."""
    found = found.take(np.argsort(-found.energy))
    could = 0
    for i, text in enumerate(texts):
        if '=""' in text:  # ASE takes the next key for the value of this one
            continue
        try:
            (atoms,) = read_xyz(StringIO(text), index=slice(None))
            energy, forces = atoms.get_potential_energy(), atoms.get_forces(apply_constraint=False)
        except Exception:  # noqa: BLE001 - ASE raises all kinds
            continue
        could += 1
        atoms_of = slice(found.offsets[i], found.offsets[i + 1])
        assert found.energy[i] == energy
        assert found.numbers[atoms_of].tolist() == atoms.numbers.tolist()
        np.testing.assert_allclose(found.positions[atoms_of], atoms.positions, rtol=1e-7)
        np.testing.assert_allclose(found.forces[atoms_of], forces, rtol=1e-7)
        if "[true" not in text and "[false" not in text:  # which ASE takes for text, and any text for periodic
            assert found.pbc is not None
            assert found.pbc[i].tolist() == atoms.pbc.tolist()
    return could


@pytest.fixture(autouse=True)
def _small_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut files where frames, headers and numbers of atoms are, too."""
    monkeypatch.setattr(extxyz, "SPAN_BYTES", 700)
    monkeypatch.setattr(extxyz, "FRAMES_AT_ONCE", 2)


SETTINGS = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DAMAGE = ("a line less", "a line more", "stars", "no symbol", "count", "a word", "no energy", "header gone", "cut")
COMPRESS = {
    "": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress,
    ".zst": lambda text: pa.Codec("zstd").compress(text, asbytes=True),
}  # fmt: skip


@SETTINGS
@given(file=files(), ends=st.sampled_from(["\n", "\r\n"]), blank=st.sampled_from(["", "\n", " \n\n"]),
       mark=st.booleans(), cut=st.booleans(), packed=st.sampled_from(sorted(COMPRESS)))  # fmt: skip
def test_what_was_meant_is_read_whatever_the_dialect(
    tmp_path_factory: pytest.TempPathFactory, file: tuple[list[Frame], list[str]], ends: str, blank: str, mark: bool,
    cut: bool, packed: str,
) -> None:  # fmt: skip
    meant, texts = file
    path = tmp_path_factory.mktemp("dialect") / f"x.xyz{packed}"
    text = blank.join(texts).replace("\n", ends)
    data = ("\ufeff" * mark + (text.removesuffix(ends) if cut else text)).encode()
    path.write_bytes(COMPRESS[packed](data))
    found, bad = read_all(path)
    assert bad == []
    assert_meant(found, meant)
    assert_as_ase(found, texts)


@SETTINGS
@given(file=files(), where=st.integers(0, 4), damage=st.sampled_from(DAMAGE))
def test_one_bad_frame_costs_that_frame_alone(
    tmp_path_factory: pytest.TempPathFactory, file: tuple[list[Frame], list[str]], where: int, damage: str
) -> None:
    meant, texts = file
    at = where % len(texts)
    lines = texts[at].splitlines()
    if damage == "a line less":
        del lines[-1]
    elif damage == "a line more":
        lines.append(lines[-1])
    elif damage == "stars":
        lines[-1] = " ".join("*" * len(word) for word in lines[-1].split())
    elif damage == "no symbol":
        lines[2] = lines[2].strip() + " H_a"
    elif damage == "count":
        lines[0] = str(int(lines[0]) + 7)
    elif damage == "a word":
        lines[0] = "many"
    elif damage == "no energy":
        lines[1] = lines[1].replace("energy", "Energy")
    elif damage == "header gone":
        del lines[1]
    else:
        lines = lines[:1]
    path = tmp_path_factory.mktemp("damage") / "x.extxyz"
    path.write_text("".join([*texts[:at], "\n".join(lines) + "\n", *texts[at + 1 :]]))
    if len(texts) == 1:
        return
    found, bad = read_all(path)
    assert [one.count for one in bad] == [1], bad
    assert f"frame {at}" in bad[0].where
    assert_meant(found, [*meant[:at], *meant[at + 1 :]])


PLAIN = st.sampled_from(["a=1", "b", 'c="x y"', "d=e=f", 'g="h=i"', "w=1,2", 'u=""', "é=ü", "a=1", " ", "k='"[:2]])
ODD = st.sampled_from(
    ["a=1", "b", 'c="x y"', "d=e=f", 'g="h=i"', "k=[1 2]", "l='m n'", "n = 3", r"o=p\"q", 'r="s', "'t", "u=", "=v",
     'w=""', "x={y z}", "a=2", "é=ü", " ", '"q r"=s', 'x"y"', "z=[[1], [2]]"]
)  # fmt: skip


@SETTINGS
@given(tokens=st.lists(st.one_of(PLAIN, PLAIN, PLAIN, ODD), max_size=6))
def test_both_parsers_of_headers_agree(tokens: list[str]) -> None:
    line = " ".join(tokens).encode()
    quick = plain_header(line)
    if quick is None:
        return
    try:
        assert (any_header(line) if line.strip() else {}) == quick
    except HeaderError:
        pytest.fail(f"{line!r} is read as {quick} by one, and refused by the other")
