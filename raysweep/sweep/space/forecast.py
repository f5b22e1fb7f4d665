"""The forecast that a run of a sweep ends with."""

from pydantic import Field, model_validator

from raysweep.sweep.space.parts import Part


class ForecastWanted(Part):
    """The forecast that `raysweep run` records once the grid is done, and puts to the test by training its run."""

    times: float | None = Field(
        default=None,
        gt=1,
        description="compute of the forecast, as a multiple of the largest compute of the grid's points",
    )
    at_flops: float | None = Field(default=None, gt=0, description="the same in FLOPs, instead of `times`")
    family: str | None = Field(default=None, description="family to forecast; default: the best one at that compute")

    @property
    def wanted(self) -> bool:
        """Whether a run ends with a forecast."""
        return self.times is not None or self.at_flops is not None

    @model_validator(mode="after")
    def _one_compute(self) -> "ForecastWanted":
        if self.times is not None and self.at_flops is not None:
            raise ValueError("at_flops: the compute is given by `times` already; leave one of them out")
        if self.family is not None and not self.wanted:
            raise ValueError("family: says which forecast; give its compute as well (times, or at_flops)")
        return self
