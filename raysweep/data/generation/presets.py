"""The presets of the embedded source: which molecules are grown, and which structures are made of each.

A preset is a value that determines a store's content together with structures, seed and validation fraction.
docs/data.md has measurements of each. This file imports nothing heavy: search spaces name presets.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal, get_args

from raysweep.core.errors import DataError

PresetName = Literal["small-organics", "organics", "diverse", "reactive", "large-organics"]
Kind = Literal["thermal", "md", "torsion", "stretch", "pair", "transfer"]
DEFAULT_PRESET: PresetName = "small-organics"
RECIPE_NAME = "raysweep.data.xtb"
"""Kind of the recipe in the manifest of a store that the embedded source made."""

_H, _B, _C, _N, _O, _F, _SI, _P, _S, _CL, _BR = 1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 35


@dataclass(frozen=True, kw_only=True)
class Growing:
    """Parameters of the growth of molecules.

    Attributes:
        heavy_atoms: numbers of heavy atoms that a candidate aims at.
        heavy_weights: share of candidates by number of heavy atoms.
        elements: of a new heavy atom; the first atom is a carbon.
        element_weights: chance of each.
        heteropairs: pairs of elements, the lower first, that may be bonded besides those with a carbon.
        ring_chances: of a first ring closure and, after each, of a further one.
        oxidised: chance that a phosphine becomes its oxide, and a sulphide a sulphoxide or sulphone (half each).
        charged: chance that a molecule is made an ion, protonated or deprotonated at one atom.
    """

    heavy_atoms: tuple[int, ...]
    heavy_weights: tuple[float, ...]
    elements: tuple[int, ...]
    element_weights: tuple[float, ...]
    heteropairs: frozenset[tuple[int, int]] = frozenset()
    ring_chances: tuple[float, ...] = (0.40, 0.15)
    oxidised: float = 0.0
    charged: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Displacing:
    """Parameters of the displacement of conformers, and the force limit of the labels.

    Attributes:
        structures_per_molecule: displaced structures of each molecule.
        conformers_per_molecule: conformers that they are distributed over.
        temperatures: K, range from which each structure's temperature is drawn evenly.
        wavenumber: 1/cm, frequency of the harmonic oscillator that models each atom.
        force_limit: eV/Å, structures with a larger force on any atom are rejected.

    Raises:
        DataError: a value is out of range.
    """

    structures_per_molecule: int = 10
    conformers_per_molecule: int = 2
    temperatures: tuple[float, float] = (100.0, 1000.0)
    wavenumber: float = 2000.0
    force_limit: float = 25.0

    def __post_init__(self) -> None:
        """Refuse values without meaning."""
        counts = (self.structures_per_molecule, self.conformers_per_molecule)
        low, high = self.temperatures
        if min(counts) < 1 or not 0 < low <= high or self.wavenumber <= 0 or self.force_limit <= 0:
            raise DataError(f"{self}: counts must be at least 1, temperatures above 0 and rising, the others above 0")


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A choice of molecules and of structures of them.

    Attributes:
        name: of the preset.
        growing: how molecules are grown.
        displacing: how structures are displaced, and which labels are kept.
        kinds: shares of the kinds of structures (see `molecules.sampling`); a molecule that a kind is impossible for
            has thermal ones instead.
        any_field: whether UFF relaxes what MMFF94 has no parameters for; otherwise those molecules are skipped.
        columns: whether charge and spin are written into the store.
    """

    name: PresetName
    growing: Growing
    displacing: Displacing
    kinds: Mapping[Kind, float] = field(default_factory=lambda: {"thermal": 1.0})
    any_field: bool = True
    columns: bool = True

    @property
    def source(self) -> str:
        """A description of the source in words."""
        if self.name == DEFAULT_PRESET:
            return "molecules grown by valence rules, ETKDG and MMFF94 conformers (RDKit), thermally displaced"
        shares = ", ".join(f"{kind} {share:.0%}" for kind, share in self.kinds.items())
        return f"preset {self.name}: molecules grown by valence rules, ETKDG and MMFF94 or UFF conformers ({shares})"


SMALL_ORGANICS = Preset(
    name="small-organics",
    growing=Growing(
        heavy_atoms=(3, 4, 5, 6, 7, 8, 9),
        heavy_weights=(0.14, 0.40, 0.40, 0.03, 0.01, 0.01, 0.01),
        elements=(_C, _N, _O, _F),
        element_weights=(0.54, 0.16, 0.23, 0.07),
    ),
    displacing=Displacing(),
    any_field=False,
    columns=False,
)
"""Small molecules run out (there are few of them), so the mean number of atoms, hydrogen included, grows with the set:
10.3 over the first 300 molecules, 11.4 over 1,400 and 14.8 over 10,000."""

_ORGANIC_PAIRS = frozenset({(_N, _N), (_N, _O)})
_SULPHUR_PAIRS = frozenset({(_N, _S), (_S, _S)})
_INORGANIC_PAIRS = frozenset(
    {(_B, _O), (_B, _N), (_B, _F), (_O, _SI), (_N, _SI), (_F, _SI), (_SI, _CL), (_SI, _SI), (_O, _P), (_N, _P)}
)

PRESETS: Mapping[PresetName, Preset] = {
    preset.name: preset
    for preset in (
        SMALL_ORGANICS,
        Preset(
            name="organics",
            growing=Growing(
                heavy_atoms=tuple(range(4, 15)),
                heavy_weights=(0.02, 0.04, 0.08, 0.12, 0.14, 0.14, 0.13, 0.11, 0.09, 0.07, 0.06),
                elements=(_C, _N, _O, _F),
                element_weights=(0.62, 0.16, 0.17, 0.05),
                heteropairs=_ORGANIC_PAIRS,
                ring_chances=(0.60, 0.35),
            ),
            displacing=Displacing(conformers_per_molecule=3),
            kinds={"thermal": 0.4, "md": 0.4, "torsion": 0.2},
        ),
        Preset(
            name="diverse",
            growing=Growing(
                heavy_atoms=tuple(range(3, 13)),
                heavy_weights=(0.04, 0.10, 0.14, 0.16, 0.16, 0.14, 0.10, 0.08, 0.05, 0.03),
                elements=(_C, _N, _O, _F, _S, _CL, _P, _SI, _B, _BR),
                element_weights=(0.48, 0.12, 0.14, 0.04, 0.06, 0.04, 0.03, 0.03, 0.03, 0.03),
                heteropairs=_ORGANIC_PAIRS | _SULPHUR_PAIRS | _INORGANIC_PAIRS,
                ring_chances=(0.50, 0.25),
                oxidised=0.6,
                charged=0.25,
            ),
            displacing=Displacing(conformers_per_molecule=3),
            kinds={"thermal": 0.3, "md": 0.25, "torsion": 0.15, "stretch": 0.15, "pair": 0.15},
        ),
        Preset(
            name="reactive",
            growing=Growing(
                heavy_atoms=(3, 4, 5, 6, 7, 8),
                heavy_weights=(0.10, 0.22, 0.26, 0.20, 0.14, 0.08),
                elements=(_C, _N, _O, _F, _S, _CL),
                element_weights=(0.54, 0.16, 0.18, 0.03, 0.05, 0.04),
                heteropairs=_ORGANIC_PAIRS | _SULPHUR_PAIRS,
                oxidised=0.4,
                charged=0.10,
            ),
            displacing=Displacing(force_limit=50.0),
            kinds={"stretch": 0.35, "pair": 0.30, "transfer": 0.25, "thermal": 0.10},
        ),
        Preset(
            name="large-organics",
            growing=Growing(
                heavy_atoms=tuple(range(15, 31)),
                heavy_weights=(0.0625,) * 16,
                elements=(_C, _N, _O, _F),
                element_weights=(0.70, 0.13, 0.14, 0.03),
                heteropairs=_ORGANIC_PAIRS,
                ring_chances=(0.8, 0.5, 0.25),
            ),
            displacing=Displacing(structures_per_molecule=5),
            kinds={"thermal": 0.5, "md": 0.5},
        ),
    )
}
assert set(PRESETS) == set(get_args(PresetName))


def preset_named(name: str) -> Preset:
    """The preset of a name.

    Raises:
        DataError: there is none; the message has the nearest one and all of them.
    """
    for known, preset in PRESETS.items():
        if known == name:
            return preset
    near = get_close_matches(name, PRESETS, n=1)
    raise DataError(
        f"preset is {name!r}, which does not exist{f'; nearest: {near[0]}' if near else ''}. "
        f"Known are {', '.join(PRESETS)}"
    )
