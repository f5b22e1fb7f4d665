"""The expected answers of a planned design, by family, before it is paid for; or why it cannot answer."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from raysweep.core.errors import FrontierError
from raysweep.core.text import short
from raysweep.frontier.answers.arguments import positive
from raysweep.frontier.design.beginning import LawBegins, law_begins
from raysweep.frontier.design.planned import REACHES, PlannedPoints
from raysweep.frontier.design.prospects import ANSWERS, Prospect, prospect
from raysweep.frontier.design.usual import USUAL_NOISE, usual_laws
from raysweep.frontier.fit import fit_each
from raysweep.frontier.numerics.arrays import Plain
from raysweep.frontier.points.cleaning import column
from raysweep.frontier.points.families import Family, families_of
from raysweep.frontier.points.readers import as_table
from raysweep.frontier.result import Fit

FEWEST_SIZES = 3
WIDE = 0.5
"""Expected width of a's interval from which on a design does not tell whether N or D is to grow faster."""
_ALIKE = 0.1
"""alpha and beta that differ by less than this share are as good as equal on a ray of one D/N."""
_MOST = 0.5
"""Of the laws that are looked at; what fails in more of them is named."""
_NOTHING = None, LawBegins()
Range: TypeAlias = tuple[float, float, float]
"""Lowest, middle and highest over the laws that are looked at; three times the same where one was fitted."""


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """The expected answers of the runs of one family.

    Attributes:
        architecture: the family.
        measured: whether the law was fitted to points; else the published exponents of force fields are taken.
        sizes: number of distinct N. runs: number of runs.
        ratio: smallest and largest D/N of the points.
        transition: D below which points do not count, 0 where none was found.
        prospects: one for each law that is looked at.
        concerns: why the design cannot answer, each a sentence with its remedy; empty where it can.
    """

    architecture: Family
    measured: bool
    sizes: int
    runs: int
    ratio: tuple[float, float]
    transition: float
    prospects: tuple[Prospect, ...]
    concerns: tuple[str, ...]

    @property
    def flops(self) -> float:
        """The compute at which N* and L* are estimated."""
        return self.prospects[0].flops

    def width(self, answer: str) -> Range:
        """The expected width of an answer's 95 % interval (`prospects.ANSWERS`); in ln for the optimum's."""
        return _range([one.widths[answer] for one in self.prospects])

    @property
    def condition(self) -> Range:
        """Condition number of the information matrix, scaled to unit diagonal."""
        return _range([one.condition for one in self.prospects])

    @property
    def bracketed(self) -> dict[float, float]:
        """By compute budget, the share of laws under which N* has two sizes on either side and D* is in the data."""
        budgets = [bracket.flops for bracket in self.prospects[0].brackets]
        return {
            flops: float(np.mean([one.brackets[place].bracketed for one in self.prospects]))
            for place, flops in enumerate(budgets)
        }

    @property
    def unbracketed(self) -> dict[float, str]:
        """For each compute budget that most laws leave unbracketed, what is missing under the median law."""
        found = {}
        for place, (flops, share) in enumerate(self.bracketed.items()):
            if share <= 1 - _MOST:
                lacking = [one.brackets[place] for one in self.prospects if not one.brackets[place].bracketed]
                found[flops] = sorted(lacking, key=lambda bracket: bracket.params)[len(lacking) // 2].lacks
        return found

    def to_dict(self) -> dict[str, Plain]:
        """The outlook as JSON values; numbers that are not finite as None."""
        return {
            "family": None if self.architecture is None else str(self.architecture),
            "law": "fitted" if self.measured else "published exponents",
            "sizes": self.sizes,
            "runs": self.runs,
            "atoms_per_param": list(self.ratio),
            "transition": self.transition,
            "flops": self.flops,
            "expected_widths": {name: [_finite(value) for value in self.width(name)] for name in ANSWERS},
            "condition": [_finite(value) for value in self.condition],
            "bracketed": {f"{flops:g}": share for flops, share in self.bracketed.items()},
            "optima": [
                {**asdict(bracket), "bracketed": bracket.bracketed}
                for bracket in (self.prospects[0].brackets if self.measured else ())
            ],
            "concerns": list(self.concerns),
        }


def design_outlook(
    planned: object, points: object | None = None, budgets: Sequence[float] = ()
) -> dict[Family, Outlook]:
    """Estimate what planned runs would answer: expected widths, brackets of the optimum, condition of the design.

    Args:
        planned: a table of the points that the runs will give: params, data, flops and trajectory (a point's run),
            architecture (or family) where there are several. Points that are measured already are among them.
        points: measured ones, as in `fit`: their fit is the law that is assumed, and its noise of runs. Families
            without enough of them, and all where this is None, take the published exponents of force fields.
        budgets: compute at which N* and D* are to be bracketed; N* and L* are asked for at the largest.

    Raises:
        FrontierError: the tables cannot be read, or a budget is not a positive number.

    >>> sizes, budgets = [1e3, 4e3, 1.6e4, 6.4e4], [1e5, 4e5, 1.6e6, 6.4e6]
    >>> rows = [(n, d) for n in sizes for d in budgets]
    >>> planned = {"params": [n for n, _ in rows], "data": [d for _, d in rows], "trajectory": [n for n, _ in rows]}
    >>> found = design_outlook({**planned, "flops": [600 * n * d for n, d in rows]}, budgets=[1e13])[None]
    >>> [f"{width:.2f}" for width in found.width("params_exponent")]
    ['0.06', '0.19', '0.40']
    """
    budgets = tuple(sorted({positive("design_outlook", "budgets", budget) for budget in budgets}))
    table = as_table(planned, "planned", required=("params", "data", "flops"))
    measured = {} if points is None else _measured(as_table(points))
    return {
        family: _outlook(_planned(table.take(pa.array(rows))), family, *measured.get(family, _NOTHING), budgets)
        for family, rows in families_of(table).items()
    }


def _measured(points: pa.Table) -> dict[Family, tuple[Fit | None, LawBegins]]:
    """Fit what is measured, and find where the runs begin to obey the fit; None for a family without a law."""
    try:
        fits = fit_each(points, bootstraps=0)
    except FrontierError:  # too few points for anything
        fits = {}
    return {
        family: (
            fits[family] if family in fits and fits[family].status.usable else None,
            law_begins(fits.get(family), points.take(pa.array(rows))),
        )
        for family, rows in families_of(points).items()
    }


def _planned(table: pa.Table) -> PlannedPoints:
    names = list(range(table.num_rows))
    if "trajectory" in table.column_names:
        names = table["trajectory"].to_pylist()
    return PlannedPoints.of(
        list(column(table, "params")), list(column(table, "data")), list(column(table, "flops")), names
    )


def _outlook(
    points: PlannedPoints, family: Family, fitted: Fit | None, begins: LawBegins, budgets: tuple[float, ...]
) -> Outlook:
    if fitted is None:
        laws = usual_laws(points.cost_model())
        found = tuple(prospect(points, law, USUAL_NOISE, budgets) for law in laws)
    else:
        noise = fitted.run_noise or USUAL_NOISE
        found = (prospect(points, fitted.surface, noise, budgets, form=fitted.form, transition=begins.data),)
    return Outlook(
        architecture=family,
        measured=fitted is not None,
        sizes=int(points.sizes.size),
        runs=int(points.run.max()) + 1,
        ratio=points.ratio,
        transition=0.0 if fitted is None else begins.data,
        prospects=found,
        concerns=(*_too_short(points, begins), *_concerns(points, found)),
    )


def _too_short(points: PlannedPoints, begins: LawBegins) -> list[str]:
    """Say that the planned runs end before those so far have begun to obey a law, if they do."""
    largest = float(points.data.max())
    if begins.shown or largest >= (1 - REACHES) * begins.needed:
        return []
    return [
        f"{begins.why}: exponents of such runs describe no law, which takes runs up to D = {short(begins.needed)} or "
        f"more; those planned end at {short(largest)}"
    ]


def _concerns(points: PlannedPoints, found: Sequence[Prospect]) -> list[str]:
    """Find why the design cannot answer; consequences of a reported reason are not repeated."""
    sizes = points.sizes.size
    if sizes < FEWEST_SIZES:
        return [f"{sizes} sizes leave the exponents open: train {FEWEST_SIZES} or more, better six"]
    alike = [one for one in found if abs(float(one.law.alpha / one.law.beta) - 1) < _ALIKE]
    if points.ray:
        why = ": alpha and beta are alike, and nothing tells the two terms apart" if alike else ""
        return [f"D follows from N in all runs, one ray of D/N{why}: evaluate each size at several amounts of data"]
    open_ = [one for one in found if one.open]
    if len(open_) > _MOST * len(found):
        return [
            "the points leave the law open: spread N and D over a factor of ten or more each, at several D per size"
        ]
    told = []
    most = [one.brackets[-1] for one in found if one.brackets]
    beyond = [bracket for bracket in most if bracket.params > points.sizes[-1]]
    if most and len(beyond) > _MOST * len(most):
        largest = float(np.median([bracket.params for bracket in beyond]))
        told.append(
            f"no size is above N* at {most[0].flops:g} FLOPs, about {largest:.3g}: add sizes up to {4 * largest:.2g}, "
            "or lower the largest budget"
        )
    width = _range([one.widths["params_exponent"] for one in found])[1]
    if not width < WIDE:
        told.append(
            f"a is expected to be known to ± {width / 2:.2g} alone: spread the sizes further, add seeds, or more data"
        )
    return told


def _range(values: Sequence[float]) -> Range:
    ordered = np.sort(np.asarray(values, dtype=float))
    return float(ordered[0]), float(ordered[(ordered.size - 1) // 2]), float(ordered[-1])


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
