"""The learning rates of a sweep: those that have to be searched, and those that are known."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from raysweep.core.hashing import content_id, size_json
from raysweep.core.text import rounded
from raysweep.storage import layout
from raysweep.storage.rate_records import HORIZONS, RateRecord, RateTrial
from raysweep.storage.reader import SweepReader
from raysweep.sweep.plan.specs import TrialSpecs
from raysweep.sweep.space.parts import Family, LearningRate, Size
from raysweep.sweep.tuning.horizons import HorizonSearch, exponent_of, horizon_line
from raysweep.sweep.tuning.rate_choice import RATE_DIGITS
from raysweep.sweep.tuning.search import RateSearch


@dataclass(frozen=True)
class Cell:
    """One learning rate to find: of a family at its base size, or of one size where rates are tuned per size."""

    family: str
    size: Size
    search: str
    """Hash of all that determines the search: families that share it are searched once."""
    centre: float | None = None
    """The rate around which others are tried at several horizons; None: the rate itself is searched."""

    @property
    def key(self) -> str:
        """The key of its record in `learning_rates.json`."""
        return f"{self.family}-{self.search}{'' if self.centre is None else HORIZONS}"

    @property
    def place(self) -> tuple[str, str]:
        """The key in a table of rates."""
        return self.family, size_json(self.size)


def cells(specs: TrialSpecs) -> list[Cell]:
    """List the learning rates that have to be searched, in the order of the families."""
    settings = specs.learning_rate
    return [
        Cell(label, size, _search(specs, label, size))
        for label, family in specs.families.items()
        if label not in settings.rates
        for size in family.tuned_sizes(settings)
    ]


def horizon_cells(specs: TrialSpecs, rates: Mapping[tuple[str, str], float]) -> list[Cell]:
    """List the searches of how the best rate moves with the horizon, of the families whose rates are known."""
    settings, found = specs.learning_rate, []
    for label, family in specs.families.items() if settings.horizons else ():
        size = family.base_size()
        centre = rates.get((label, size_json(size)))
        if centre is not None:
            probes = [spec.trial_id for spec in specs.horizons(label, size, centre)]
            content = {"probes": probes, "trials": settings.horizon_trials, "widenings": settings.widenings}
            found.append(Cell(label, size, content_id(content, 16), centre))
    return found


def horizon_correction(
    specs: TrialSpecs, reader: SweepReader, rates: Mapping[tuple[str, str], float]
) -> Callable[[str, float, float], float | None]:
    """Make the function that corrects a rate of a family for a trajectory's end, in atoms; None: not measured yet."""
    known = reader.searches()
    cells = {cell.family: cell for cell in horizon_cells(specs, rates)}
    found = {family: exponent_of(known[cell.key]) for family, cell in cells.items() if cell.key in known}

    def correct(family: str, rate: float, data: float) -> float | None:
        exponent = found.get(family)
        if exponent is None or isinstance(exponent, str) or not exponent.matters:
            return None if exponent is None else rate
        centre = cells[family].centre
        assert centre is not None
        return rounded(rate / centre * exponent.rate_at(data)[0], RATE_DIGITS)

    return correct


def make_search(specs: TrialSpecs, cell: Cell) -> RateSearch | HorizonSearch:
    """Begin the search of a cell."""
    if cell.centre is not None:
        return HorizonSearch(
            cell.family,
            cell.size,
            specs.learning_rate,
            cell.centre,
            lambda rate: specs.horizons(cell.family, cell.size, rate),
        )
    probe = specs.tuning(cell.family, cell.size, 1.0)
    return RateSearch(
        cell.family,
        cell.size,
        specs.learning_rate,
        len(probe.data_budgets),
        lambda rate: specs.tuning(cell.family, cell.size, rate),
    )


def given_rates(families: Mapping[str, Family], settings: LearningRate) -> dict[tuple[str, str], float]:
    """Return the rates that a search space gives, by (family, size as JSON)."""
    rates = {}
    for label, rate in settings.rates.items():
        family = families[label]
        rates.update({(label, size_json(size)): rate for size in (*family.members(), family.base_size())})
    return rates


def known_rates(specs: TrialSpecs, reader: SweepReader) -> dict[tuple[str, str], float]:
    """Return the rates that a search space gives and those that its searches found, by (family, size as JSON)."""
    settings = specs.learning_rate
    rates = given_rates(specs.families, settings)
    found = reader.searches()
    for cell in cells(specs):
        record = found.get(cell.key)
        if record is not None and record.rate is not None:
            rates[cell.place] = record.rate
    return _power_laws(specs.families, settings, rates) if settings.transfer == "power_law" else rates


def _power_laws(
    families: Mapping[str, Family], settings: LearningRate, rates: Mapping[tuple[str, str], float]
) -> dict[tuple[str, str], float]:
    """Extend the tuned rates to all sizes by a power law in width, once all of them are known."""
    found = {place: rate for place, rate in rates.items() if place[0] in settings.rates}
    for label, family in families.items():
        if label in settings.rates:
            continue
        tuned = {float(size["width"]): rates.get((label, size_json(size))) for size in family.tuned_sizes(settings)}
        known = {width: rate for width, rate in tuned.items() if rate is not None}
        if len(known) == len(tuned):
            slope, constant = np.polyfit(np.log(list(known)), np.log(list(known.values())), 1)
            for size in family.members():
                rate = float(np.exp(constant + slope * np.log(float(size["width"]))))
                found[label, size_json(size)] = rounded(rate, 6)  # no more digits than a search gives
    return found


def record_of(cell: Cell, search: RateSearch | HorizonSearch) -> RateRecord:
    """Summarise a finished search."""
    choice = search.choice()
    trials = []
    for candidate, verdict in zip(search.candidates, search.verdicts(), strict=True):
        points = candidate.points[: verdict.length]
        trials.append(
            RateTrial(
                trial_id=candidate.spec.trial_id,
                learning_rate=candidate.spec.learning_rate,
                state=str(candidate.state),
                data=tuple(point.data for point in points),
                losses=tuple(point.loss for point in points),
            )
        )
    return RateRecord(
        key=cell.key,
        family=cell.family,
        size=dict(cell.size),
        seed=search.settings.seed,
        rate=choice.rate if choice else None,
        method=choice.method if choice else None,
        edge=choice.edge if choice else None,
        widened=search.widened,
        on_plateau=search.on_plateau,
        trials=tuple(trials),
    )


def rate_lines(record: RateRecord) -> list[str]:
    """Return the lines for the terminal about a search that has ended."""
    family, rate = record.family, record.rate
    if record.of_horizons:
        return [horizon_line(record)]
    if rate is None:
        return [f"{family}: no learning rate was found, no trial reached its end; see {layout.LEARNING_RATES}"]
    beyond = f"; it is the {record.edge} end of the range, a better one may lie beyond" if record.edge else ""
    lines = [f"{family}: learning rate {rate:g} ({record.method}{beyond})"]
    if record.on_plateau:
        lines.append(
            f"{family}: no tuning trial has left the starting plateau, so this rate is a guess; raise "
            "learning_rate.structures (or ask for fewer rungs), or give the rate in learning_rate.rates"
        )
    return lines


def _search(specs: TrialSpecs, label: str, size: Size) -> str:
    settings = specs.learning_rate.model_dump(
        mode="json", exclude={"rates", "transfer", "tuned", "horizons", "horizon_trials", "horizon_grid"}
    )
    return content_id({"probe": specs.tuning(label, size, 1.0).trial_id, "settings": settings}, 16)
