"""The measured cost of inference at each size of a family."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from raysweep.frontier.numerics.arrays import Floats

MD_MS = {100: "md_ms_100", 1000: "md_ms_1000"}
"""Columns of the milliseconds of an MD step, by the atoms of its structure."""
COLUMNS = ("inference_flops", *MD_MS.values())


@dataclass(frozen=True, kw_only=True)
class MeasuredInference:
    """The cost of inference by size, arrays of shape (sizes,), NaN where it was not measured.

    Attributes:
        params: N, ascending.
        inference_flops: FLOPs of an atom-step: the median of the size's points.
        md_ms_100, md_ms_1000: milliseconds of an MD step: the fastest of the size's points.
        devices: names of the devices that the steps were timed on.
    """

    params: Floats
    inference_flops: Floats
    md_ms_100: Floats
    md_ms_1000: Floats
    devices: tuple[str, ...] = ()

    def measured(self, name: str) -> tuple[Floats, Floats]:
        """The sizes at which a column was measured, and its values."""
        values: Floats = getattr(self, name)
        known = np.isfinite(values) & (values > 0)
        return self.params[known], values[known]


def measured_inference(
    params: Floats, given: Mapping[str, Floats], devices: list[str | None]
) -> MeasuredInference | None:
    """Collect the inference costs in the points of a family; None if there are none.

    Args:
        params: of the points, shape (n,).
        given: those of `COLUMNS` that the points have, shape (n,), NaN where a point lacks one.
        devices: of the points, shape (n,).
    """
    sizes = np.unique(params[np.isfinite(params) & (params > 0)])
    found = {name: np.full(sizes.size, np.nan) for name in COLUMNS}
    for name, values in given.items():
        pick = np.median if name == "inference_flops" else np.min
        for place, size in enumerate(sizes):
            of_size = values[(params == size) & np.isfinite(values)]
            if of_size.size:
                found[name][place] = pick(of_size)
    if not any(np.isfinite(values).any() for values in found.values()):
        return None
    timed = np.zeros(params.size, dtype=bool)
    for name in MD_MS.values():
        timed |= np.isfinite(given.get(name, np.full(params.size, np.nan)))
    named = dict.fromkeys(device for device, told in zip(devices, timed, strict=True) if told and device is not None)
    return MeasuredInference(params=sizes, devices=tuple(named), **found)
