"""An outlook in words: a row of a table for each family, and a sentence for whatever a design does not answer."""

from collections.abc import Mapping, Sequence

import numpy as np

from raysweep.core.text import short
from raysweep.frontier.design.outlook import Outlook, Range


def outlook_rows(outlooks: Sequence[Outlook]) -> list[tuple[str, ...]]:
    """The expected answers of runs, as rows of text below a header."""
    head = ("expected", "law", "sizes", "runs", "a", "gamma", "N*", "L*", "at FLOP", "D/N", "N* bracketed")
    return [head, *(_row(one) for one in outlooks)]


def outlook_notes(outlooks: Sequence[Outlook]) -> list[str]:
    """Remarks on the rows, one sentence each."""
    notes = []
    if any(not one.measured for one in outlooks):
        notes.append(
            "law published: without points of its own a family may have any of the published exponents of force fields "
            "(lowest-highest expected width)"
        )
    for one in outlooks:
        name = f"{one.architecture}: " if one.architecture else ""
        notes += [f"{name}{concern}" for concern in one.concerns]
        lacking = one.unbracketed
        if lacking and not one.concerns:
            budgets = ", ".join(f"{flops:g}" for flops in lacking)
            flops, lacks = max(lacking.items())
            notes.append(f"{name}N* is not bracketed at {budgets} FLOP; at {flops:g} it lacks {lacks}")
    return notes


def _row(one: Outlook) -> tuple[str, ...]:
    low, high = one.ratio
    return (
        str(one.architecture or "all"),
        "fitted" if one.measured else "published",
        str(one.sizes),
        str(one.runs),
        _either_side(one.width("params_exponent")),
        _either_side(one.width("loss_exponent")),
        _factors(one.width("optimal_params")),
        _percent(one.width("optimal_loss")),
        short(one.flops),
        f"{short(low, 2)}–{short(high, 2)}",
        _bracketed(one.bracketed),
    )


def _either_side(widths: Range) -> str:
    return f"± {_between([width / 2 for width in widths])}"


def _factors(widths: Range) -> str:
    return f"×/÷ {_between([float(np.exp(min(width / 2, 700.0))) for width in widths])}"


def _percent(widths: Range) -> str:
    return f"± {_between([100 * width / 2 for width in widths])} %"


def _between(values: Sequence[float]) -> str:
    """The lowest and the highest value, once if they are equal; undetermined values as ∞."""
    texts = [short(value, 2) if np.isfinite(value) and value < 1e6 else "∞" for value in (values[0], values[-1])]
    return texts[0] if texts[0] == texts[1] else "–".join(texts)


def _bracketed(shares: Mapping[float, float]) -> str:
    if not shares:
        return "no budgets"
    if any(0 < share < 1 for share in shares.values()):
        return f"{np.mean(list(shares.values())):.0%} of {len(shares)}"
    return f"{sum(share == 1 for share in shares.values())} of {len(shares)}"
