"""The fits of several families, as `fit_families` returns them."""

from raysweep.frontier.families.contrasts import contrasts
from raysweep.frontier.families.crossovers import Crossover, crossovers
from raysweep.frontier.families.differences import Contrasts
from raysweep.frontier.result import Fit


class FamilyFits(dict[str, Fit]):
    """The fits by family, with comparisons between them."""

    def contrasts(
        self, quantity: str = "gamma", flops: float | None = None, *, level: float = 0.95, simultaneous: bool = False
    ) -> Contrasts:
        """Compare the families pair by pair: see `raysweep.frontier.contrasts`."""
        return contrasts(self, quantity, flops, level=level, simultaneous=simultaneous)

    def crossovers(
        self, *, reach: float = 1e3, inference_steps: float = 0.0, inference_atoms: int = 1000
    ) -> list[Crossover]:
        """Find where one family overtakes another: see `raysweep.frontier.crossovers`."""
        return crossovers(self, reach=reach, inference_steps=inference_steps, inference_atoms=inference_atoms)
