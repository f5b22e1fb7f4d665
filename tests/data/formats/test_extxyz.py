"""extxyz as people have it: periodicity, groups, symbols, blank lines, compression; and refusals that say why."""

from pathlib import Path

import numpy as np
import pytest
from test_extxyz_dialects import COMPRESS, read_all

from raysweep.core.errors import DataError
from raysweep.data.formats.fields.blocks import Bad, Names, Span
from raysweep.data.formats.xyz import extxyz
from raysweep.data.importing.imports import import_store

HARTREE, BOHR, KCAL = 27.211386245988, 0.529177210903, 0.0433641042418
PER_BOHR = HARTREE / BOHR
CASES = Path(__file__).parents[1] / "cases"


def test_symbols_on_the_right_of_their_column_are_read(tmp_path: Path) -> None:
    found, bad = read_all(CASES / "right_justified_symbols.xyz")
    assert bad == []
    first = found.take(np.flatnonzero(found.energy == -100.0))
    assert first.numbers.tolist() == [6, 1, 8, 17]
    assert first.positions[3].tolist() == pytest.approx([0.58826499, 0.05684448, 1.09342597], abs=1e-7)
    assert len(found) == 12
    upper = tmp_path / "upper.xyz"
    upper.write_text((CASES / "right_justified_symbols.xyz").read_text().replace("\nCl ", "\nCL "))
    assert read_all(upper)[0].numbers.tolist() == found.numbers.tolist()


def test_blank_lines_between_frames_end_nothing(tmp_path: Path) -> None:
    store = import_store(tmp_path / "s", [CASES / "blank_line_between_frames.xyz"])
    assert len(store) == 40
    assert store.manifest.rejected == {}


HEAD = "2\nProperties=species:S:1:pos:R:3:forces:R:3 energy=-1 {}\nH 0 0 0 0.1 0 0\nH 0 0 0.8 -0.1 0 0\n"
CUBE = 'Lattice="9 0 0 0 9 0 0 0 9"'
ALL, NONE = [True] * 3, [False] * 3


@pytest.mark.parametrize(
    ("said", "pbc"),
    [
        ("", NONE), (CUBE, ALL), (f'{CUBE} pbc="T T T"', ALL), (f'{CUBE} pbc="F F F"', NONE), (f"{CUBE} pbc=T", ALL),
        (f"{CUBE} pbc", ALL), (f"{CUBE} pbc=True", ALL), (f"{CUBE} pbc=1", ALL), (f"{CUBE} pbc=[T,T,T]", ALL),
        (f"{CUBE} pbc=[T, F, T]", [True, False, True]), (f'{CUBE} pbc="[True, True, False]"', [True, True, False]),
        (f'{CUBE} pbc="_JSON [true, true, false]"', [True, True, False]), (f"{CUBE} pbc='(True, True, True)'", ALL),
        (f'{CUBE} pbc="1 0 1"', [True, False, True]), (f'{CUBE} pbc="f f f"', NONE), ("pbc=F cell=[9,9,9]", NONE),
        ("Lattice=[9,0,0,0,9,0,0,0,9]", ALL), ("Lattice=[[9,0,0],[0,9,0],[0,0,9]]", ALL), ("Periodic=F", NONE),
        ('Lattice="_JSON [[9.0, 0, 0], [0, 9.0, 0], [0, 0, 9.0]]"', ALL), ("Lattice={9 0 0 0 9d0 0 0 0 9}", ALL),
    ],
)  # fmt: skip
def test_periodicity_is_read_in_any_spelling(tmp_path: Path, said: str, pbc: list[bool]) -> None:
    (tmp_path / "x.xyz").write_text(HEAD.format(said))
    found, bad = read_all(tmp_path / "x.xyz")
    assert bad == []
    assert found.pbc is not None
    assert found.pbc.tolist() == [pbc]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ('pbc="T T T"', "pbc is 'T T T', but there is no Lattice"),
        ("pbc=T", "pbc is 'T', but there is no Lattice"),
        ('pbc="F F T" cell="9 0 0 0 9 0 0 0 9"', "pbc is 'F F T', but there is no Lattice"),
        ('cell="9 0 0 0 9 0 0 0 9"', "there is a cell but neither Lattice nor pbc"),
        ('lattice="9 0 0 0 9 0 0 0 9"', "there is a lattice but neither Lattice nor pbc"),
        ("box=[9, 9, 9]", "there is a box but neither Lattice nor pbc"),
        ("unit_cell=[9, 9, 9]", "there is a unit_cell but neither"),
        ("periodic=True", "periodic is 'True', but there is no Lattice"),
        (f'{CUBE} PBC="F F F"', "PBC is 'F F F', but extxyz's own key is pbc"),
        (f'{CUBE} pbc="T T"', "pbc is 'T T', not three of T and F"),
        (f"{CUBE} pbc=xyz", "pbc is 'xyz', not three of T and F"),
        ('Lattice="9 9 9"', "Lattice is '9 9 9', not nine numbers"),
        ('Lattice="9 0 0 0 9 0 0 0 *"', "not nine numbers"),
        ('Lattice="0 0 0 0 0 0 0 0 0"', "periodic, but the cell has no volume"),
        ("Lattice=[[9,1,0],[0,9,0],[0,0,9]]", "in nested brackets, whose rows"),
        (f'{CUBE} Lattice="8 0 0 0 8 0 0 0 8"', "the header gives 'Lattice' twice"),
        ('pbc="F F F', 'in the header " is not closed'),
        ("energy=-2", "the header gives 'energy' twice, as '-1' and as '-2'"),
        ("energy_unit=hartree", "energy_unit is 'hartree', but"),
        ("length-units=bohr", "length-units is 'bohr', but length of the file is read in Å: give --length-unit"),
        ("REF_energyUnit=Ha", "REF_energyUnit is 'Ha', but the file is read in eV: give --energy-unit"),
        ("energyunits=eV/atom", "energyunits is 'eV/atom', but the file is read in eV"),
        ("units=kcal/mol", "units is 'kcal/mol', but the file is read in eV: give --energy-unit"),
        ("unit='eV, bohr'", "unit is 'eV, bohr', but length of the file is read in Å: give --length-unit"),
        ("forces_unit=kcal/mol/Ang", "forces_unit is 'kcal/mol/Ang', but forces of the file is read in"),
        ("force_unit='Hartree Bohr^-1'", "force_unit is 'Hartree Bohr^-1', but forces of the file is read in"),
        ("units=metal", "units is 'metal', which is not understood: give --energy-unit and --length-unit"),
    ],
)
def test_what_is_not_certain_is_refused_by_name(tmp_path: Path, said: str, reason: str) -> None:
    (tmp_path / "x.xyz").write_text(HEAD.format(said))
    with pytest.raises(DataError, match=r"x\.xyz, frame 0: ") as caught:
        import_store(tmp_path / "s", [tmp_path / "x.xyz"], group_by="structure")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("said", "names", "factors"),
    [
        ("units=metal", Names(energy_unit="eV", length_unit="Å"), (1.0, 1.0)),
        ("energy_unit=Ha forces_unit=Ha/Bohr", Names(energy_unit="hartree", forces_unit="Ha/a0"), (HARTREE, PER_BOHR)),
        ("units='kcal/mol, Ang' stress_unit=GPa community=open", Names(energy_unit="kcal/mol"), (KCAL, KCAL)),
        ("E_hartree=-1", Names(energy="E_hartree"), (HARTREE, HARTREE)),
        ("E_ev_per_atom=-0.5", Names(energy="E_ev_per_atom"), (1.0, 1.0)),
        ("e=-0.5", Names(energy="e", energy_unit="eV/atom"), (1.0, 1.0)),
    ],
)
def test_units_are_those_that_a_key_states_or_that_are_named(
    tmp_path: Path, said: str, names: Names, factors: tuple[float, float]
) -> None:
    (tmp_path / "x.xyz").write_text(HEAD.format(said) * 2)
    store = import_store(tmp_path / "s", [tmp_path / "x.xyz"], names=names, group_by="structure")
    found = store.read(np.arange(2))
    np.testing.assert_allclose(found.energy, -factors[0], rtol=1e-6)
    assert np.abs(found.forces).max() == pytest.approx(0.1 * factors[1], rel=1e-6)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("species:S:1", "symbol:S:1"), "without species:S:1 or Z:I:1"),
        (("pos:R:3", "pos:R:2"), "without pos:R:3"),
        (("forces:R:3", "forces:R:3:pos:R:3"), "names 'pos' twice"),
        (("forces:R:3", "forces:X:3"), "not NAME:KIND:COLUMNS"),
        (
            ("forces:R:3", "dft_force:R:3"),
            "no forces: none is recognised, name it with --forces-key; the frame has dft",
        ),
        (("forces:R:3", "forces:R:1:x:R:2"), "'forces' does not have three numbers an atom"),
        (("Properties", "properties"), "no Properties in the header"),
        (("energy", "free_energy"), "no energy: none is recognised, name it with --energy-key; the frame has"),
        (("energy=-1", "energy=nan"), "energy or forces are not finite"),
        (("energy=-1", "energy=T"), "energy is 'T', not a number"),
        (("energy=-1", "energy=[1,2]"), "energy is '1,2', not a number"),
        (("0.8", "nan"), "positions not finite"),
        (("0.8", "inf"), "positions not finite"),
        (("0.8", "******"), "'******'"),
        (("\nH 0 0 0 ", "\nH_a 0 0 0 "), "'H_a' is not the symbol of an element"),
        (("\nH 0 0 0 ", "\nC1 0 0 0 "), "'C1' is not the symbol of an element"),
        (("\nH 0 0 0 ", "\n1 0 0 0 "), "'1' is not the symbol of an element"),
        (("\nH 0 0 0 ", "\nTv 0 0 0 "), "'Tv' is not the symbol of an element (a translation vector?"),
        (("-0.1 0 0\n", "-0.1 0 0\nVEC1 9 0 0\nVEC2 0 9 0\n"), "its cell stands in VEC lines"),
        (("-0.1 0 0\n", "-0.1 0 0\nH 0 0 1 0 0 0\n"), "it states 2 atoms, but more lines of atoms follow"),
    ],
)
def test_frames_that_cannot_be_read_are_refused_by_name(tmp_path: Path, change: tuple[str, str], reason: str) -> None:
    (tmp_path / "x.xyz").write_text(HEAD.format("").replace(*change) + HEAD.format(""))
    with pytest.raises(DataError, match=r"x\.xyz, frame 0: ") as caught:
        import_store(tmp_path / "s", [tmp_path / "x.xyz"], group_by="structure")
    assert reason in str(caught.value)
    found, bad = read_all(tmp_path / "x.xyz")
    assert (len(found), len(bad)) == (1, 1)


def test_periodic_frames_without_a_lattice_are_refused_and_counted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"pbc_without_lattice.xyz, frame 0: pbc is 'T T T', but there is no Lattice"):
        import_store(tmp_path / "s", [CASES / "pbc_without_lattice.xyz"])
    with pytest.raises(DataError, match=r"no usable structures \(left out: .*'pbc is.*: 10"):
        import_store(tmp_path / "s", [CASES / "pbc_without_lattice.xyz"], skip_bad=True)


def test_groups_are_text_whichever_way_a_frame_is_read(tmp_path: Path) -> None:
    store = import_store(tmp_path / "s", [CASES / "group_names.xyz"], validation_fraction=0.4)
    everything = store.read(np.arange(len(store)))
    assert sorted(everything.group) == sorted([f"00{i}" for i in range(5)] * 2)
    held = store.manifest.train_structures
    assert set(everything.group[:held]) & set(everything.group[held:]) == set()
    by_ase = import_store(tmp_path / "a", [CASES / "group_names.xyz"], format="ase")
    assert sorted(by_ase.read(np.arange(len(by_ase))).group) == sorted(everything.group)


def test_a_compressed_text_that_is_cut_off_is_named_and_its_whole_frames_are_kept(tmp_path: Path) -> None:
    text = "".join(HEAD.format("").replace("energy=-1", f"energy={-i}") for i in range(500)).encode()
    for suffix, compress in COMPRESS.items():
        if suffix:
            path = tmp_path / f"x.extxyz{suffix}"
            path.write_bytes(compress(text)[:-20])
            found, bad = read_all(path)
            assert "the compressed text is cut off or altered" in bad[-1].reason
            assert len(found) < 500
            with pytest.raises(DataError, match=f"x.extxyz{suffix}, frame"):
                import_store(tmp_path / "s", [path], group_by="structure")


def test_a_broken_frame_longer_than_what_is_read_at_once_is_one_bad_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extxyz, "SPAN_BYTES", 300)
    header = "energy=-1.0 Properties=species:S:1:pos:R:3:forces:R:3"
    rows = "".join(f"H {k}.0 0.0 0.0 0.1 0.0 0.0\n" for k in range(60))
    whole, broken = f"60\n{header}\n{rows}", f"many\n{header}\n{rows}"
    path = tmp_path / "x.extxyz"
    path.write_text(broken + whole + whole)
    pieces = list(extxyz.spans(path, Names()))
    bad = [piece for piece in pieces if isinstance(piece, Bad)]
    assert [one.where for one in bad] == [f"{path}, frame 0"]
    runs = [piece for piece in pieces if isinstance(piece, Span)]
    assert (runs[0].first, runs[-1].stop) == (1, path.stat().st_size)
