"""The error probability spent over the looks at growing data, so that a verdict holds whichever look it is taken at.

A verdict that is tried again and again as points come in is wrong more often than each trial by itself. Each look
therefore gets a share of the stated error probability, and all shares together sum to 1, however many looks there are
(alpha spending; Lan and DeMets 1983, with the union bound instead of the joint distribution of the looks, which no
fit of a law knows). The shares fall geometrically: budgets grow from look to look, so that there are few of them.
"""

from raysweep.core.errors import FrontierError

FADE = 0.8
"""Each look's share over that of the look before: the first ten looks have 89 % of the error probability."""


def spent_at(look: int, error: float) -> float:
    """Error probability of one look, counted from 1.

    >>> round(spent_at(1, 0.05), 12), round(sum(spent_at(look, 0.05) for look in range(1, 1000)), 12)
    (0.01, 0.05)
    """
    return error * (1.0 - FADE) * FADE ** (look - 1)


def spent_until(look: int, error: float) -> float:
    """Error probability of all looks up to one."""
    return error * (1.0 - FADE**look)


def checked_look(look: object) -> int:
    """Convert the number of a look.

    Raises:
        FrontierError: it is no whole number from 1 on.
    """
    if isinstance(look, bool) or not isinstance(look, int) or look < 1:
        raise FrontierError(f"decide(look={look!r}): give the number of this look at the data: 1, 2, ...")
    return look
