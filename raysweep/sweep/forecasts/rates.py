"""The learning rate of a forecast's run: as the sweep tuned it, carried over in N and in D."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from raysweep.core.hashing import size_json
from raysweep.core.text import knobs, rounded
from raysweep.storage.forecast_records import Expected, ForecastRate
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.plan.specs import TrialSpecs
from raysweep.sweep.space.facts import DataFacts
from raysweep.sweep.space.parts import Size
from raysweep.sweep.space.space import Space
from raysweep.sweep.tuning.horizons import exponent_of, horizon_records
from raysweep.sweep.tuning.rate_choice import RATE_DIGITS
from raysweep.sweep.tuning.rates import known_rates


@dataclass(frozen=True)
class _Tuned:
    """The rate of a size before it is corrected for the horizon."""

    rate: float
    base: float
    """Of the base size, where the exponent is measured."""
    sentence: str


def forecast_rate(
    space: Space, facts: DataFacts, store: TrialStore, family: str, size: Size, data: float
) -> ForecastRate:
    """Return the learning rate of a run.

    It is corrected for the horizon as far as the exponent was measured, and its interval excludes 0.

    Args:
        space: the search space, resolved.
        facts: about its structures.
        store: its storage, with the searches.
        family: label of the family.
        size: of the run.
        data: atoms that the run sees.

    Raises:
        SpaceError: no learning rate of the family is known.
    """
    tuned = _tuned(space, facts, store, family, size)
    record = horizon_records(store.searches()).get(family)
    found = "the exponent was not measured (learning_rate.horizons)" if record is None else exponent_of(record)
    if isinstance(found, str):
        text = f"{tuned.sentence}; not corrected for the horizon: {found}"
        return ForecastRate(rate=tuned.rate, tuned=tuned.rate, sentence=text)
    exponent = Expected(value=found.exponent, low=found.low, high=found.high)
    moves = f"it moves as D^{found.exponent:.2f} [{found.low:.2f}, {found.high:.2f}]"
    if not found.matters:
        text = f"{tuned.sentence}; {moves}, not distinguishable from 0: not corrected for the horizon"
        return ForecastRate(rate=tuned.rate, tuned=tuned.rate, horizon_exponent=exponent, sentence=text)
    best, low, high = (tuned.rate / tuned.base * one for one in found.rate_at(data))
    text = f"{tuned.rate:g} {tuned.sentence}; {moves}: corrected for the horizon, [{low:.3g}, {high:.3g}] there"
    return ForecastRate(rate=rounded(best, RATE_DIGITS), tuned=tuned.rate, horizon_exponent=exponent, sentence=text)


def _tuned(space: Space, facts: DataFacts, store: TrialStore, family: str, size: Size) -> _Tuned:
    """Return the learning rate of a size as it was tuned or given, and carried to this size."""
    known = known_rates(TrialSpecs.of(space, facts), store)
    rates = {place[1]: rate for place, rate in known.items() if place[0] == family}
    settings, members = space.learning_rate, space.families[family].members()
    base = space.families[family].base_size()
    if not rates:
        raise space.error(
            ("learning_rate",),
            f"no learning rate of {family} is known yet; run the sweep first (`raysweep run SPACE`), or give it in "
            "learning_rate.rates",
        )
    base_rate = rates.get(size_json(base), next(iter(rates.values())))
    if settings.transfer == "mup" or family in settings.rates:
        given = "given by learning_rate.rates" if family in settings.rates else "searched"
        carried = ", carried by muP" if settings.transfer == "mup" else ""
        return _Tuned(base_rate, base_rate, f"{given} at {knobs(base)}{carried}")
    rate, sentence = _rate_by_width(rates, members, size)
    return _Tuned(rate, base_rate, f"searched per size, {sentence}")


def _rate_by_width(rates: Mapping[str, float], members: tuple[Size, ...], size: Size) -> tuple[float, str]:
    """Continue the rates of the members as a power law in width, or take that of the only one."""
    known = {float(m["width"]): rates[size_json(m)] for m in members if size_json(m) in rates and "width" in m}
    if size_json(size) in rates:
        return rates[size_json(size)], "at this size"
    if len(known) < 2 or "width" not in size:
        return next(iter(rates.values())), "taken from another size"
    slope, constant = np.polyfit(np.log(list(known)), np.log(list(known.values())), 1)
    rate = float(np.exp(constant + slope * math.log(float(size["width"]))))
    return float(f"{rate:.6g}"), "continued as a power law in width"
