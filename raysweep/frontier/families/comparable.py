"""Which fits may be compared: those that exist, and that count the same cost."""

from collections.abc import Mapping

from raysweep.core.errors import FrontierError
from raysweep.frontier.result import Fit


def usable_of(fits: Mapping[str, Fit]) -> dict[str, Fit]:
    """The families that have a fit."""
    return {name: fit for name, fit in fits.items() if fit.estimate is not None}


def require_one_cost(fits: Mapping[str, Fit], query: str) -> None:
    """Refuse fits that count different costs.

    Raises:
        FrontierError: some count FLOPs and some seconds, or seconds of different devices; names the query.
    """
    if len({fit.cost_name for fit in fits.values()}) > 1:
        raise FrontierError(f"{query}: some fits count FLOPs and some seconds; fit all with the same cost=")
    devices = dict.fromkeys(fit.samples.device for fit in fits.values() if fit.samples.device is not None)
    if len(devices) > 1:
        raise FrontierError(
            f"{query}: the fits count seconds of different devices ({', '.join(devices)}), which do not mix; "
            "compare at equal FLOPs (cost='flops')"
        )
