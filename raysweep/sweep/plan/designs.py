"""The designs of a grid: the structures of each trajectory, its length, and its budgets."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raysweep.core.errors import SpaceError
from raysweep.core.trial import OptimizerSpec
from raysweep.sweep.plan.costs import Cost
from raysweep.sweep.space.facts import DataFacts
from raysweep.sweep.space.parts import Adaptive, Grid
from raysweep.sweep.space.race import Race
from raysweep.sweep.space.yaml_lines import ErrorAt

MEMBERS = 3
"""Sizes that a parabola through one compute budget needs."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """The structures of a trajectory, and its budgets; the same for all sizes."""

    subset: int
    """Distinct structures."""
    epochs: float
    """Passes over them at its end, at most."""
    structures: tuple[int, ...]
    """Data budgets, in structures seen."""
    flops: tuple[float, ...]
    """Compute budgets."""
    device_hours: tuple[float, ...] = ()
    """Compute budgets that become `flops` once the speed of a size is known."""

    @property
    def seen(self) -> int:
        """Structures seen at its end, at most."""
        return round(self.subset * self.epochs)

    def budgets(self, facts: DataFacts) -> tuple[float, ...]:
        """Return the data budgets in atoms."""
        return tuple(facts.atoms(n, self.subset) for n in self.structures)

    def most(self, facts: DataFacts) -> float:
        """Return the atoms seen at its end, at most."""
        return facts.atoms(self.seen, self.subset)

    def reached(self, facts: DataFacts, cost: Cost) -> tuple[float, ...]:
        """Return the compute budgets that a size reaches."""
        most = self.most(facts)
        return tuple(flops for flops in self.flops if flops <= cost.flops_per_atom * most)

    def possible(self, facts: DataFacts, cost: Cost) -> bool:
        """Whether a size reaches any of the budgets."""
        return bool(self.structures or self.reached(facts, cost))

    def timed(self, cost: Cost) -> "Course":
        """Convert the device hours into the FLOPs that a size spends in them.

        To three digits, since no measurement of a speed has more.
        """
        per_hour = 3600 / cost.seconds_per_atom * cost.flops_per_atom
        spent = (float(f"{hours * per_hour:.2e}") for hours in self.device_hours)
        return dataclasses.replace(self, flops=tuple(sorted({*self.flops, *spent})), device_hours=())

    def isoflop(self, bounds: tuple[float, float], facts: DataFacts, cost: Cost) -> "Course":
        """Keep only the compute budgets at which a size's D/N lies within bounds.

        With fewer atoms per parameter, or more, the size is far from the optimum at that compute, and its point is
        uninformative. A trajectory ends at the largest of its budgets.
        """
        ratios = {flops: flops / cost.flops_per_atom / cost.params for flops in self.reached(facts, cost)}
        chosen = tuple(flops for flops, ratio in ratios.items() if bounds[0] <= ratio <= bounds[1])
        return dataclasses.replace(self, structures=(), flops=chosen)

    def lengths(self, facts: DataFacts, cost: Cost) -> "list[Course]":
        """Return the course cut at its first budget, its second, ..., its last."""
        data = dict(zip(self.structures, self.budgets(facts), strict=True))
        flops = {amount: amount / cost.flops_per_atom for amount in self.reached(facts, cost)}
        return [
            dataclasses.replace(
                self,
                structures=tuple(n for n, atoms in data.items() if atoms <= end),
                flops=tuple(c for c, atoms in flops.items() if atoms <= end),
            )
            for end in sorted({*data.values(), *flops.values()})
        ]


def chosen_by_cost(grid: Grid, in_rounds: Adaptive | Race | None) -> tuple[tuple[str, str], str] | None:
    """Return the setting that chooses trajectories by their cost, as its key and its name; None without one."""
    if isinstance(in_rounds, Race):
        return ("race", "enabled"), "a race"
    if grid.design == "auto":
        return ("grid", "design"), "design: auto"
    if in_rounds is not None:
        return ("adaptive", "enabled"), "--adaptive"
    if grid.device_hours:
        return ("grid", "device_hours"), "grid.device_hours"
    return (("grid", "design"), "isoflop") if grid.design == "isoflop" else None


def courses(grid: Grid, optimizer: OptimizerSpec) -> list[Course]:
    """Return the trajectories of each size and seed.

    All budgets lie on one, or each on its own with cosine; with `grid.unique` there is one for each subset.
    """
    found = []
    for subset, epochs in _subsets(grid):
        whole = Course(subset=subset, epochs=epochs, structures=(), flops=())
        data = tuple(n for n in grid.structures if n <= whole.seen)
        if optimizer.name == "cosine":
            found += [dataclasses.replace(whole, structures=(n,)) for n in data]
            found += [dataclasses.replace(whole, flops=(c,)) for c in grid.flops]
            found += [dataclasses.replace(whole, device_hours=(h,)) for h in grid.device_hours]
        else:
            found.append(dataclasses.replace(whole, structures=data, flops=grid.flops, device_hours=grid.device_hours))
    return found


def _subsets(grid: Grid) -> list[tuple[int, float]]:
    """Return the distinct structures and the passes of each trajectory."""
    if not grid.unique:
        return [(int(np.ceil(grid.structures[-1] / grid.epochs)), grid.epochs)]
    found = []
    for subset in grid.unique:
        seen = [n for n in grid.structures if n <= subset * grid.epochs]
        found.append((subset, seen[-1] / subset))
    return found


def thin_budgets(grid: Grid, families: Iterable[str], members: Mapping[tuple[str, float], int]) -> tuple[str, ...]:
    """Return a sentence for each compute budget of an isoFLOP design that too few sizes reach for a minimum.

    Args:
        grid: the joint grid.
        families: labels of the families.
        members: by family and budget, how many sizes reach it.
    """
    if grid.design == "full":
        return ()
    thin = [(f, c, members[f, c]) for f in families for c in grid.flops if 0 < members[f, c] < MEMBERS]
    return tuple(
        f"{family}: {count} of its sizes reach {flops:g} FLOPs within grid.atoms_per_param and the data, and a minimum "
        f"needs {MEMBERS}; widen atoms_per_param, add sizes, or raise the largest of grid.structures"
        for family, flops, count in thin
    )


def refuse_unreached(
    grid: Grid,
    facts: DataFacts,
    designed: Sequence[Course],
    costs: Mapping[str, Sequence[Cost | None]],
    members: Mapping[tuple[str, float], int],
    error: ErrorAt,
) -> None:
    """Refuse compute budgets of an isoFLOP design that no size reaches, before rates are tuned for them.

    Args:
        grid: the joint grid.
        facts: about the structures.
        designed: the trajectories of each size.
        costs: by family, of each trajectory; where one is not known nothing is refused.
        members: by family and budget, how many sizes reach it.
        error: makes the error about a key.

    Raises:
        SpaceError: no size reaches a budget, or none of a family reaches any.
    """
    bounds = grid.atoms_per_param
    if bounds is None or grid.device_hours:
        return

    def unreached(costs: Sequence[Cost], budgets: Sequence[float], who: str) -> SpaceError:
        return error(*_unreached(bounds, max(course.most(facts) for course in designed), costs, budgets, who))

    for label in costs:
        known = [cost for cost in costs[label] if cost is not None]
        if len(known) < len(costs[label]):
            return
        if not any(members[label, flops] for flops in grid.flops):
            raise unreached(known, grid.flops, f"no size of {label} reaches")
    never = [flops for flops in grid.flops if not any(members[label, flops] for label in costs)]
    if never:
        known = [cost for each in costs.values() for cost in each if cost is not None]
        raise unreached(known, never, "no size reaches")


def _unreached(
    bounds: tuple[float, float], most: float, costs: Sequence[Cost], budgets: Sequence[float], who: str
) -> tuple[tuple[str, str], str]:
    """Return the key to change, and why: how far the sizes reach with `most` atoms."""
    ends = [(bounds[0] * c.params, min(bounds[1] * c.params, most), c.flops_per_atom) for c in costs]
    reach = [(low * per_atom, high * per_atom) for low, high, per_atom in ends if low <= high]
    within = f"with {bounds[0]:g} to {bounds[1]:g} atoms per parameter and {most:g} atoms at most"
    if not reach:
        return (
            ("grid", "atoms_per_param"),
            f"{who} any compute budget {within}; lower atoms_per_param, add smaller sizes, or raise grid.structures",
        )
    return (
        ("grid", "flops"),
        f"{who} {', '.join(f'{flops:g}' for flops in budgets)} FLOPs: {within}, sizes reach from "
        f"{min(low for low, _ in reach):.3g} to {max(high for _, high in reach):.3g}; give budgets between, widen "
        "atoms_per_param, change sizes, or raise grid.structures",
    )


def unreached_notes(
    grid: Grid, facts: DataFacts, designed: Sequence[Course], costs: Mapping[str, Sequence[Cost | None]]
) -> tuple[str, ...]:
    """Return a sentence about the compute budgets of a full design that no size reaches, which are skipped."""
    known = [cost for each in costs.values() for cost in each if cost is not None]
    if grid.design != "full" or not known:
        return ()
    largest = max(cost.flops_per_atom for cost in known) * max(course.most(facts) for course in designed)
    never = [f"{flops:g}" for flops in grid.flops if flops > largest]
    if not never:
        return ()
    return (
        f"grid.flops: no size reaches {', '.join(never)} FLOPs, so there is no point at them; the largest spends "
        f"{largest:.3g} on all its data",
    )
