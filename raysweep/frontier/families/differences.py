"""Differences between families as values: each pair, the orders with their probabilities, and a table of them."""

from dataclasses import dataclass

from raysweep.core.errors import FrontierError
from raysweep.core.text import columns
from raysweep.frontier.answers.values import Answer

_SHOWN = 4
"""Orders in the table."""
_SIGNS = {"difference": " - {}", "ratio": " / {}", "relative difference": " / {} - 1"}


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """The difference of two families.

    Attributes:
        first, second: the families.
        difference: the first less the second, their ratio, or relative difference (`Contrasts.scale` says which).
        degrees_of_freedom: of Student's t (Welch and Satterthwaite); None where the interval is of draws, or absent.
        probability: that the first family's number is the larger one; None without bootstraps.
    """

    first: str
    second: str
    difference: Answer
    degrees_of_freedom: float | None
    probability: float | None


@dataclass(frozen=True, kw_only=True)
class Order:
    """An order of all families and its probability; the best is the first (see `Contrasts`)."""

    families: tuple[str, ...]
    probability: float


@dataclass(frozen=True, kw_only=True)
class Contrasts:
    """All pairs of families, and the probability of their orders.

    Attributes:
        quantity: what is compared, by its long name. flops: the compute of an optimal quantity.
        scale: "difference", "ratio" (N*, D* and coefficients) or "relative difference" (ratio less 1; the loss).
        level: of the intervals. simultaneous: whether all intervals hold together with that probability.
        paired: whether the families were drawn together, as those are that share parameters.
        lowest_first: whether the lowest number is the best (a loss, E) or the largest.
        values: each family's own number. pairs: in the order of the families.
        orders: those of a probability of .1 % or more, the most probable first; none without bootstraps.
        best: by family, the probability that it is the first.
        left_out: families without a fit, with their status.
    """

    quantity: str
    flops: float | None
    scale: str
    level: float
    simultaneous: bool
    paired: bool
    lowest_first: bool
    values: dict[str, Answer]
    pairs: tuple[Contrast, ...]
    orders: tuple[Order, ...]
    best: dict[str, float]
    left_out: dict[str, str]

    def pair(self, first: str, second: str) -> Contrast:
        """Look up two families in the order in which they are compared.

        Raises:
            FrontierError: there is no such pair.
        """
        for found in self.pairs:
            if (found.first, found.second) == (first, second):
                return found
        pairs = ", ".join(f"{one.first} and {one.second}" for one in self.pairs)
        raise FrontierError(f"no contrast of {first} and {second}; there are {pairs}")

    def probability(self, *families: str) -> float:
        """Probability of an order of all families, the best first; 0 where it is below .1 %.

        Raises:
            FrontierError: these are not all of the families, or there are no bootstraps.
        """
        if sorted(families) != sorted(self.values):
            raise FrontierError(f"probability({', '.join(families)}): name each of {', '.join(self.values)} once")
        if not self.orders:
            raise FrontierError("no bootstraps to take the probability of an order from; fit with bootstraps=1000")
        return next((order.probability for order in self.orders if order.families == families), 0.0)

    def __str__(self) -> str:
        at = "" if self.flops is None else f" at {self.flops:.3g}"
        together = ", all together" if self.simultaneous else ""
        lines = [f"{self.quantity}{at}: {self.scale} of families, {self.level:.0%} intervals{together}"]
        rows = [
            (f"{one.first}{_SIGNS[self.scale].format(one.second)}", str(one.difference), _larger(one))
            for one in self.pairs
        ]
        lines.append(columns(rows))
        arrow = " < " if self.lowest_first else " > "
        lines += [f"{arrow.join(order.families)}: {order.probability:.1%}" for order in self.orders[:_SHOWN]]
        if self.best:
            word = "lowest" if self.lowest_first else "largest"
            ranked = sorted(self.best.items(), key=lambda item: -item[1])
            lines.append(f"{word}: {', '.join(f'{name} {share:.1%}' for name, share in ranked)}")
        return "\n".join([*lines, *(f"{name} left out: {status}" for name, status in self.left_out.items())])


def _larger(contrast: Contrast) -> str:
    return "" if contrast.probability is None else f"{contrast.first} larger: {contrast.probability:.1%}"
