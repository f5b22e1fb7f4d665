"""A trained force field as an ASE calculator."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from raysweep.core.errors import ModelError
from raysweep.trained.batches import WideBatch
from raysweep.trained.evaluator import Evaluator
from raysweep.trained.neighbours import Edges, SkinList

try:
    from ase import Atoms
    from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
except ImportError as error:
    raise ModelError(f"a calculator needs ASE ({error}); install raysweep[formats], or ase itself") from error

LEAST_SKIN = 0.01
"""Å; pairs are searched in single precision, whose rounding a skin must exceed."""
DIRECT = (
    "{name}: its forces are direct, not the gradient of its energy: molecular dynamics does not conserve energy, and a "
    "relaxation may not converge; there is no stress. Use a model with `forces: conservative` for them."
)
FRAMED = (
    "{name}: its predictions are averaged over frames of each structure's axes, which turn with the atoms: forces are "
    "not the exact gradient of the energy, and there is no stress."
)


class RaysweepCalculator(Calculator):
    """ASE calculator of energy, free_energy (equal to it), forces and, for conservative models, stress.

    Units are ASE's: eV, eV/Å, eV/Å³. Stress needs a cell that is periodic along all three vectors. It is computed only
    when it is asked for.

    Attributes:
        neighbours: the list that is reused from step to step.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 - as ASE has it

    def __init__(self, model: Evaluator, skin: float, ignore_charge_and_spin: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model = model
        self.neighbours = SkinList(model.record.cutoff, skin)
        self._ignores = ignore_charge_and_spin
        if not model.has_stress:
            self.implemented_properties = [name for name in self.implemented_properties if name != "stress"]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Compute energy and forces of a structure, and stress if `properties` has it; see ASE."""
        if atoms is not None:
            self.atoms = atoms.copy()
        here = self.atoms
        assert here is not None
        self._refuse(here)
        stress = "stress" in properties
        if stress and not here.pbc.all():
            raise PropertyNotImplementedError("stress needs a cell that is periodic along all three vectors")
        model, edges = self.model, self.neighbours.edges(here.positions, here.cell.array, here.pbc)
        batch = structure_batch(here.numbers, here.positions, edges, model.device, model.dtype)
        out = model.outputs(batch, virial=stress)
        energy = float(out.energy)
        self.results = {"energy": energy, "free_energy": energy, "forces": out.forces.double().cpu().numpy()}
        if out.virial is not None:
            whole = out.virial[0].double().cpu().numpy() / here.get_volume()
            self.results["stress"] = whole[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]  # Voigt: xx yy zz yz xz xy

    def _refuse(self, atoms: Atoms) -> None:
        """Refuse what the model has no input for.

        Raises:
            ModelError: an element is unknown, a position is not finite, or `atoms.info` has a charge other than 0 or a
                multiplicity `spin` other than 1.
        """
        self.model.check_elements(atoms.numbers)
        if not np.isfinite(atoms.positions).all():
            raise ModelError("the positions of atoms are not all finite numbers: an unstable run, or a damaged file")
        info: dict[str, Any] = {} if self._ignores else atoms.info
        for key, plain in (("charge", 0), ("spin", 1)):
            value = info.get(key, plain)
            if value != plain:
                raise ModelError(
                    f"atoms.info[{key!r}] is {value!r}, and the model {self.model.name} has no such input: it sees "
                    "elements and positions alone. Leave it out, or calculate as if it were "
                    f"{plain} with calculator(ignore_charge_and_spin=True)"
                )


def structure_batch(
    numbers: np.ndarray[Any, Any],
    positions: np.ndarray[Any, Any],
    edges: Edges,
    device: torch.device,
    dtype: torch.dtype,
) -> WideBatch:
    """Make a batch of one structure."""
    count, x = len(numbers), torch.as_tensor(positions, dtype=torch.float64, device=device)
    return WideBatch(
        numbers=torch.as_tensor(numbers, dtype=torch.int64, device=device),
        positions=x,
        structure=torch.zeros(count, dtype=torch.int64, device=device),
        n_atoms=x.new_full((1,), float(count)),
        senders=torch.as_tensor(edges.senders, device=device),
        receivers=torch.as_tensor(edges.receivers, device=device),
        shifts=None if edges.shifts is None else torch.as_tensor(edges.shifts, dtype=torch.float64, device=device),
        energy=x.new_zeros(1),
        forces=x,  # unlabelled: not read
        dtype=dtype,
    )


def make_calculator(model: Evaluator, *, skin: float, ignore_charge_and_spin: bool) -> RaysweepCalculator:
    """Make a calculator; a model whose forces are not exact gradients gives a warning.

    Raises:
        ModelError: `skin` is too small.
    """
    if not LEAST_SKIN <= skin < float("inf"):
        raise ModelError(f"skin is {skin} Å; give a length of {LEAST_SKIN} Å or more")
    if not model.conservative:
        warnings.warn(DIRECT.format(name=model.name), UserWarning, stacklevel=3)
    elif model.record.frames:
        warnings.warn(FRAMED.format(name=model.name), UserWarning, stacklevel=3)
    return RaysweepCalculator(model, skin, ignore_charge_and_spin)
