"""A question about a table of points: which fit, and at which computes. Table, JSON and page answer the same one."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from raysweep.core.errors import FrontierError
from raysweep.frontier.answers.arguments import not_negative, positive
from raysweep.frontier.approaches.options import FitWindow, Method, Purpose, Settings, make_options
from raysweep.frontier.families.sharing import check_share
from raysweep.frontier.families.team import Share
from raysweep.frontier.laws.forms import LawName

_MOST_ROWS = 10**7
"""Row numbers are below this."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A fit and the computes at which its optimum is wanted.

    Attributes:
        method, law, asymptote, purpose, window: as in `raysweep.frontier.fit`; the envelope's exponent is always there.
        share: parameters that all families have in common, as in `raysweep.frontier.fit_families`.
        exclude: rows of the table to leave out, counted from 0.
        computes: FLOPs at which the compute-optimal model is wanted; none: at the largest common one and beyond it.
        losses: that the cheapest model is wanted for.
        inference_steps: atom-steps of inference that both count as cost; 0: training alone.
        unique_data: distinct data available at the optimum, for a law of repeated data; None: unlimited.
    """

    method: Method = "parametric"
    law: LawName | Literal["auto"] = "auto"
    asymptote: Literal["free"] | float = "free"
    purpose: Purpose = "exponents"
    window: FitWindow = "auto"
    share: tuple[Share, ...] = ()
    exclude: tuple[int, ...] = ()
    computes: tuple[float, ...] = ()
    losses: tuple[float, ...] = ()
    inference_steps: float = 0.0
    unique_data: float | None = None

    def settings(self, method: Method | None = None) -> Settings:
        """Get the arguments of the fit, with another method if one is given."""
        return {
            "method": method or self.method,
            "law": self.law,
            "asymptote": self.asymptote,
            "purpose": self.purpose,
            "window": self.window,
        }

    def key(self) -> str:
        """A text that identifies the question."""
        return repr(sorted(asdict(self).items()))


def make_question(
    *,
    method: str = "parametric",
    law: str = "auto",
    asymptote: str | float = "free",
    purpose: str = "exponents",
    window: str | FitWindow = "auto",
    share: Sequence[str] = (),
    exclude: Sequence[str | int] = (),
    computes: Sequence[float] = (),
    losses: Sequence[float] = (),
    inference_steps: float = 0.0,
    unique_data: float | None = None,
) -> Question:
    """Check a question before anything is read.

    Args:
        method: the approach, as in `Question`.
        law: by its name.
        asymptote: a number, as text or not, or "free".
        purpose: "exponents" or "prediction".
        window: of D: "auto", "all", or two amounts, as a pair or as text ("2e5,3e6").
        share: parameters that all families have in common: E, alpha, beta.
        exclude: rows, or ranges of rows: "3", "3,7", "10-12".
        computes: FLOPs at which the optimum is wanted.
        losses: that the cheapest model is wanted for.
        inference_steps: atom-steps of inference that count as cost.
        unique_data: distinct data available at the optimum.

    Raises:
        FrontierError: an argument is invalid; the message names it.
    """
    question = Question(
        method=method,  # type: ignore[arg-type]  # checked below, with a message
        law=law,  # type: ignore[arg-type]
        asymptote=asymptote,  # type: ignore[arg-type]
        purpose=purpose,  # type: ignore[arg-type]
        window=_window(window) if isinstance(window, str) else window,
        share=tuple(share),  # type: ignore[arg-type]
        exclude=tuple(row for text in exclude for row in _rows(str(text))),
        computes=tuple(positive("optimal", "flops", flops) for flops in computes),
        losses=tuple(positive("optimal", "loss", loss) for loss in losses),
        inference_steps=not_negative("optimal", "inference_steps", inference_steps),
        unique_data=None if unique_data is None else positive("optimal", "unique_data", unique_data),
    )
    _check_together(question)
    return question


def _check_together(question: Question) -> None:
    options, law = make_options(**question.settings()), question.law
    if question.share:
        check_share(question.share, options)
    if question.unique_data is not None and options.form.law != "data_constrained":
        raise FrontierError(
            f"unique_data = {question.unique_data:g}: law={law!r} does not model repeated data; give "
            "law='data_constrained'"
        )
    wanted = (*question.computes, *question.losses)
    if wanted and options.form.law in ("params", "data") and options.method == "parametric":
        raise FrontierError(f"optimal: a law in {law} alone has no optimum; give law='additive'")
    if (question.losses or question.inference_steps) and options.method != "parametric":
        raise FrontierError(
            f"optimal: method {question.method!r} gives the loss on the frontier only, which does not determine the "
            "cheapest model for a loss, or with inference; give method='parametric'"
        )


def _window(text: str) -> FitWindow:
    """Parse a window of D: a word, or two amounts such as `2e5,3e6`."""
    if "," not in text:
        return text  # type: ignore[return-value]  # `make_options` refuses other words
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError as error:
        raise FrontierError(f"window = {text!r:.60}: give auto, all, or two amounts of data such as 2e5,3e6") from error
    return low, high


def _rows(text: str) -> list[int]:
    """Parse row numbers and ranges: `3,7` or `10-12`."""
    rows: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        sound = (
            first.isdecimal() and (last.isdecimal() or not dash) and max(len(first), len(last)) < len(str(_MOST_ROWS))
        )
        if not sound or (dash and int(last) < int(first)):
            raise FrontierError(f"exclude = {text!r:.60}: give rows counted from 0, such as 3, 3,7 or 10-12")
        rows += range(int(first), int(last if dash else first) + 1)
    return rows
