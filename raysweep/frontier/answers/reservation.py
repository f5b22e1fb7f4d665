"""The reservation on answers that a law gives beyond points which it does not describe."""

from dataclasses import replace

from raysweep.frontier.answers.values import Answer
from raysweep.frontier.points.samples import Samples

BENDS = "beyond the points, and the law bends"


def with_reservation(found: Answer, samples: Samples, bends: bool, asked: tuple[float, float, float]) -> Answer:
    """Add a caution to an answer if the law bends and the cost, N or D in question is beyond the points."""
    largest = samples.cost.max(), samples.params.max(), samples.data.max()
    beyond = any(value > known for value, known in zip(asked, largest, strict=True))
    return replace(found, caution=BENDS) if beyond and bends else found
