"""Trained force fields in the hands of a user: read from model files, made into ASE calculators."""

from pathlib import Path
from typing import TYPE_CHECKING

from raysweep.trained.card import model_card
from raysweep.trained.evaluator import Evaluator, Precision
from raysweep.trained.model_file import read_model
from raysweep.trained.network import build_network

if TYPE_CHECKING:
    from raysweep.trained.calculator import RaysweepCalculator


class LoadedModel(Evaluator):
    """A trained force field: `load` reads one from a model file.

    Attributes:
        record: its description: architecture, knobs, elements, units, reference energies, origin.
        network: the network, in evaluation mode; its outputs lack the reference energies.
        name: the file that it was read from, for messages.
    """

    def calculator(
        self, *, skin: float = 0.5, ignore_charge_and_spin: bool = False, precision: Precision | None = None
    ) -> "RaysweepCalculator":
        """Make an ASE calculator of energy, forces and, for conservative models, stress.

        Args:
            skin: Å; neighbours are searched again when an atom has moved half of it.
            ignore_charge_and_spin: calculate ions and radicals (`atoms.info["charge"]`, `["spin"]`) as if they were
                none, instead of refusing: the network has no such input.
            precision: of the network; by default that of its weights.

        Raises:
            ModelError: ASE is not installed, or `skin` is not above 0.
        """
        from raysweep.trained.calculator import make_calculator

        model = self if precision is None else self.to(precision=precision)
        return make_calculator(model, skin=skin, ignore_charge_and_spin=ignore_charge_and_spin)

    def card(self) -> str:
        """Write the model card in Markdown: data, conditions, errors, the point on the frontier, limits, use."""
        return model_card(self.record, self.name)


def load(path: str | Path, *, device: str | None = None, precision: Precision | None = None) -> LoadedModel:
    """Read a trained force field from a model file (`raysweep export`). Nothing in the file is executed.

    Args:
        path: of the file; a URI that pyarrow.fs knows (s3://, gs://) works as well.
        device: `cpu`, `cuda`, ...; the CPU by default.
        precision: float32 or float64; by default that of the weights.

    Raises:
        ModelError: the file is absent, damaged, altered or of a newer version, its architecture is unknown here, or
            its weights are not those of its network.
    """
    record, tensors = read_model(str(path))
    model = LoadedModel(record, build_network(record, tensors, str(path)), str(path))
    return model if device is None and precision is None else model.to(device, precision)
