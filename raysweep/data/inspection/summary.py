"""Summary of a store: elements, sizes, energies, forces, and outliers by stated rules."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from raysweep.data.elements import NUMBER, SYMBOLS
from raysweep.data.graphs.closeness import shortest_distances
from raysweep.data.graphs.neighbours import DENSE_ATOMS, build_graphs
from raysweep.data.store.splitting import BY_STRUCTURE
from raysweep.data.store.store import Store
from raysweep.data.structures import Structures

AT_ONCE = 8192
BINS = 60
NAMED = 5
"""Outliers of each rule that are named."""
LOOKED_AT = 20_000
"""Number of structures, the first of the seeded order, whose distances and spread of energies are examined."""
FAR = 10.0
"""Median absolute deviations from the median that make an energy stand out: one in 10^10 of a normal distribution."""
LARGE_FORCE = 50.0
"""eV/Å: an order of magnitude above the forces of a strongly stretched bond."""
LEAST_BOUND, MOST_BOUND = -12.0, 2.0
"""eV/atom that binding gives: tungsten, bound most strongly among the elements, has -8.9."""
FAR_NEIGHBOUR = 3.0
"""Å: search radius for the nearest neighbours of hydrogen atoms."""
CLOSE = 0.55
"""Å: the shortest bond, that of H2, has 0.74."""


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Counts between edges; values beyond the edges count in the first or the last bin."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Outliers:
    """Structures that a rule flags; they stay in the store."""

    rule: str
    count: int
    of: int
    rows: tuple[int, ...]
    worst: float | None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A store's contents.

    Attributes:
        elements: atoms by symbol.
        n_atoms: structures by number of atoms.
        energy: structures by energy less reference energies, eV/atom.
        force: atoms by the length of their force, eV/Å, in decades.
        outliers: by rule.
        warnings: signs that the store as a whole is wrong.
    """

    elements: dict[str, int]
    n_atoms: Histogram
    energy: Histogram
    force: Histogram
    outliers: tuple[Outliers, ...]
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, JsonValue]:
        """The summary as JSON values."""
        return asdict(self)


def summarise(store: Store) -> Summary:
    """Summarise a store in two passes over it, a few thousand structures in memory at a time.

    Raises:
        DataError: a shard is absent or torn.
    """
    centre, spread = _energies(store)
    sizes, forces, energies = _Bins.of_sizes(store), _Bins.decades(-4, 3), _Bins.around(centre, spread)
    elements = np.zeros(256, dtype=np.int64)
    far = _Rule(f"energy per atom further than {FAR:g} median absolute deviations ({spread:.3g} eV) from the median")
    large = _Rule(f"a force above {LARGE_FORCE:g} eV/Å")
    close = _Rule(f"two atoms, or an atom and a periodic image, nearer than {CLOSE:g} Å")
    nearest: list[npt.NDArray[np.float64]] = []
    for start, structures in _pieces(store):
        elements += np.bincount(structures.numbers, minlength=256)
        sizes.add(structures.n_atoms)
        per_atom = structures.residual / structures.n_atoms
        energies.add(per_atom)
        far.look(start, np.abs(per_atom - centre), FAR * spread)
        norms = np.linalg.norm(structures.forces.astype(np.float64), axis=1)
        forces.add(norms)
        large.look(start, np.maximum.reduceat(norms, structures.offsets[:-1]), LARGE_FORCE)
        if start < LOOKED_AT:
            close.look(start, -shortest_distances(structures, CLOSE), -CLOSE)
            nearest.append(_nearest_to_hydrogen(structures))
    return Summary(
        elements={SYMBOLS[z]: int(count) for z, count in enumerate(elements) if count},
        n_atoms=sizes.histogram(),
        energy=energies.histogram(),
        force=forces.histogram(),
        outliers=(far.found(), large.found(), close.found(negated=True)),
        warnings=_warnings(np.concatenate(nearest) if nearest else np.zeros(0), elements, store),
    )


def _pieces(store: Store) -> Iterator[tuple[int, Structures]]:
    for start in range(0, len(store), AT_ONCE):
        yield start, store.read(np.arange(start, min(start + AT_ONCE, len(store))))


def _energies(store: Store) -> tuple[float, float]:
    """Median and median absolute deviation of the energies per atom less reference energies."""
    sample = store.read(np.arange(min(LOOKED_AT, len(store))))
    per_atom = sample.residual / sample.n_atoms
    centre = float(np.median(per_atom))
    return centre, max(float(np.median(np.abs(per_atom - centre))), 1e-9)


def _nearest_to_hydrogen(structures: Structures) -> npt.NDArray[np.float64]:
    """Distances of hydrogen atoms to their nearest neighbours, at most 3 Å, in small isolated structures."""
    plain = (structures.n_atoms > 1) & (structures.n_atoms <= DENSE_ATOMS)
    if structures.pbc is not None:
        plain &= ~structures.pbc.any(axis=1)
    chosen = structures.take(np.flatnonzero(plain))
    if not len(chosen):
        return np.zeros(0)
    graphs = build_graphs(chosen, FAR_NEIGHBOUR)
    back = np.repeat(chosen.offsets[:-1], graphs.n_edges)
    x = chosen.positions.astype(np.float64)
    lengths = np.linalg.norm(x[graphs.senders + back] - x[graphs.receivers + back], axis=1)
    of_atom = np.full(len(x), FAR_NEIGHBOUR)
    np.minimum.at(of_atom, graphs.receivers + back, lengths)
    found: npt.NDArray[np.float64] = of_atom[chosen.numbers == NUMBER["H"]]
    return found


def _warnings(nearest: npt.NDArray[np.float64], elements: npt.NDArray[np.int64], store: Store) -> tuple[str, ...]:
    """Warnings about the store: implausible units (by hydrogen distances and forces), no validation set."""
    found = []
    if len(nearest) >= 20:
        median = float(np.median(nearest))
        if not 0.7 <= median <= 1.6:
            unit = "bohr" if 1.6 < median < 2.5 else "nm" if 0.07 < median < 0.16 else "another unit"
            least = "at least " if median == FAR_NEIGHBOUR else ""
            found.append(
                f"the nearest neighbour of a hydrogen atom is {least}{median:.3g} Å away at the median, where 0.74 to "
                f"1.5 is usual: are the positions in {unit}? (--length-unit)"
            )
    if not store.manifest.validation_structures:
        found.append(
            "no structure is held out for validation: each group that would be has an element that no other has. "
            + BY_STRUCTURE
        )
    bound = sum(energy * elements[z] for z, energy in store.manifest.binding_energies.items()) / elements.sum()
    if not LEAST_BOUND <= bound <= MOST_BOUND:
        found.append(
            f"atoms are bound by {bound:.3g} eV each beyond isolated ones, where {LEAST_BOUND:g} to {MOST_BOUND:g} is "
            "usual: are the isolated atoms of the same method as the structures?"
        )
    rms = store.manifest.rms_force
    if not 1e-3 <= rms <= 20:
        found.append(f"the RMS force component is {rms:.3g} eV/Å, where 0.01 to 10 is usual: are the units right?")
    return tuple(found)


class _Bins:
    """A histogram that is filled batch by batch."""

    def __init__(self, edges: npt.NDArray[np.float64]) -> None:
        self._edges = edges
        self._counts = np.zeros(len(edges) - 1, dtype=np.int64)

    @classmethod
    def of_sizes(cls, store: Store) -> "_Bins":
        """Bins for numbers of atoms."""
        most = max(int(np.diff(store.shard(i).offsets).max()) for i in range(len(store.manifest.shards)))
        width = max(-(-most // BINS), 1)
        return cls(np.arange(0.5, most + width + 0.5, width))

    @classmethod
    def decades(cls, low: int, high: int) -> "_Bins":
        """Bins of equal width in the logarithm."""
        return cls(np.logspace(low, high, BINS + 1))

    @classmethod
    def around(cls, centre: float, spread: float) -> "_Bins":
        """Bins up to 1.5 times the limit at which energies count as outliers."""
        return cls(np.linspace(centre - 1.5 * FAR * spread, centre + 1.5 * FAR * spread, BINS + 1))

    def add(self, values: npt.NDArray[np.generic]) -> None:
        """Count values."""
        inside = np.clip(values.astype(np.float64), self._edges[0], self._edges[-1])
        self._counts += np.histogram(inside, bins=self._edges)[0]

    def histogram(self) -> Histogram:
        """The counts."""
        return Histogram(edges=tuple(self._edges.tolist()), counts=tuple(self._counts.tolist()))


class _Rule:
    """Structures whose value is above a limit, and the worst of them."""

    def __init__(self, rule: str) -> None:
        self._rule = rule
        self._count = self._of = 0
        self._worst: list[tuple[float, int]] = []

    def look(self, first: int, values: npt.NDArray[np.floating], limit: float) -> None:
        """Check the values of structures, the first of which is at row `first`."""
        self._of += len(values)
        above = np.flatnonzero(values > limit)
        self._count += len(above)
        worst = [(float(values[i]), first + int(i)) for i in above[np.argsort(values[above])[::-1][:NAMED]]]
        self._worst = sorted([*self._worst, *worst], reverse=True)[:NAMED]

    def found(self, *, negated: bool = False) -> Outliers:
        """The outliers; `negated` if the values were."""
        worst = None if not self._worst else self._worst[0][0] * (-1 if negated else 1)
        rows = tuple(row for _, row in self._worst)
        return Outliers(rule=self._rule, count=self._count, of=self._of, rows=rows, worst=worst)
