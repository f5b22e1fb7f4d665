"""Errors of a trained model on files of labelled structures, overall, by element and by source."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from raysweep.core.errors import ModelError
from raysweep.data.elements import SYMBOLS
from raysweep.data.formats.fields.blocks import Bad, Block, Names
from raysweep.data.formats.folders import files_of
from raysweep.data.formats.readers import Format, format_of, reader
from raysweep.data.graphs.batches import GraphSet, split_batches
from raysweep.data.importing.converting import Rules, refuse
from raysweep.trained.batches import widened
from raysweep.trained.evaluator import Evaluator

BATCH_ATOMS = 1024

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ErrorStatistics:
    """Mean absolute and root mean square error of `count` numbers."""

    count: int
    mae: float
    rmse: float

    @classmethod
    def of(cls, errors: Vector) -> "ErrorStatistics":
        """The statistics of errors, at least one."""
        return cls(errors.size, float(np.abs(errors).mean()), float(np.sqrt(np.square(errors).mean())))


@dataclass(frozen=True, kw_only=True)
class PartErrors:
    """Errors of a part of the structures: energy in meV/atom, force components in meV/Å."""

    energy: ErrorStatistics
    forces: ErrorStatistics


@dataclass(frozen=True, kw_only=True)
class ModelErrors:
    """Errors of a model on S structures with A atoms.

    Attributes:
        overall: of all structures.
        by_element: by symbol: energy of the structures that have the element, forces of its atoms.
        by_source: by the file's own name of a part of the data, otherwise by file.
        rejected: records that were left out, by reason.
        energy, predicted_energy: [S], eV/atom.
        forces, predicted_forces: [A, 3], eV/Å.
        n_atoms: [S].
    """

    overall: PartErrors
    by_element: dict[str, PartErrors]
    by_source: dict[str, PartErrors]
    rejected: dict[str, int]
    energy: Vector
    predicted_energy: Vector
    forces: Vector
    predicted_forces: Vector
    n_atoms: npt.NDArray[np.int64]


def evaluate_files(
    model: Evaluator,
    sources: Sequence[str | Path],
    *,
    format: Format | None = None,
    names: Names | None = None,
    skip_bad: bool = False,
) -> ModelErrors:
    """Evaluate a model on the structures of files, read as `raysweep data import` reads them.

    Args:
        model: the model.
        sources: files, or folders to be searched for files.
        format: how to read them; by default by what each file is.
        names: keys and units of formats that have no fixed ones.
        skip_bad: leave out and count records that cannot be used, those with elements that the model does not know
            included, instead of stopping.

    Raises:
        DataError: a file cannot be read, or a record cannot be used.
        ModelError: a structure has an element that the model does not know, or there are no structures.
    """
    rejected: Counter[str] = Counter()
    rules = Rules(names=names or Names(), group_by="structure", skip_bad=skip_bad, force_limit=None)
    parts = [
        _evaluated(model, known, file.name)
        for file in files_of([Path(source) for source in sources])[0]
        for block in _blocks(file, format, rules, rejected)
        if (known := _known(model, block, skip_bad, rejected)) is not None
    ]
    if not parts:
        without = f" (left out: {', '.join(f'{n}: {why}' for why, n in rejected.items())})" if rejected else ""
        raise ModelError(f"{', '.join(map(str, sources))}: no structures to evaluate on{without}")
    return _summarised(parts, dict(rejected))


@dataclass(frozen=True, kw_only=True)
class _Part:
    numbers: npt.NDArray[np.uint8]
    n_atoms: npt.NDArray[np.int64]
    source: npt.NDArray[np.object_]
    energy: Vector
    predicted_energy: Vector
    forces: Vector
    predicted_forces: Vector


def _blocks(file: Path, format: Format | None, rules: Rules, rejected: Counter[str]) -> Iterator[Block]:
    how = reader(format or format_of(file))
    for span in how.spans(file, rules.names):
        if isinstance(span, Bad):
            refuse(span, rules, rejected)
            continue
        for chunk in how.read(file, span, rules.names):
            if isinstance(chunk, Bad):
                refuse(chunk, rules, rejected)
            else:
                yield chunk


def _known(model: Evaluator, block: Block, skip_bad: bool, rejected: Counter[str]) -> Block | None:
    """The structures of a block whose elements the model knows."""
    if not skip_bad:
        model.check_elements(block.structures.numbers)
        return block
    known = np.isin(block.structures.numbers, model.record.elements)
    good = np.flatnonzero(np.logical_and.reduceat(known, block.structures.offsets[:-1]))
    if len(good) < len(block.structures):
        rejected["element that the model does not know"] += len(block.structures) - len(good)
    return block.take(good) if len(good) else None


def _evaluated(model: Evaluator, block: Block, file: str) -> _Part:
    structures = block.structures
    graphs = GraphSet(source=structures, cutoff=model.record.cutoff)
    energies, forces = [], []
    for rows in split_batches(structures.n_atoms, np.arange(len(structures)), BATCH_ATOMS):
        out = model.outputs(widened(graphs.batch(rows), model.device, model.dtype))
        energies.append(out.energy.cpu().numpy())
        forces.append(out.forces.double().cpu().numpy())
    source = np.full(len(structures), file, dtype=object) if block.source is None else block.source
    return _Part(
        numbers=structures.numbers,
        n_atoms=structures.n_atoms,
        source=source,
        energy=structures.energy / structures.n_atoms,
        predicted_energy=np.concatenate(energies) / structures.n_atoms,
        forces=structures.forces.astype(np.float64),
        predicted_forces=np.concatenate(forces),
    )


def _summarised(parts: Sequence[_Part], rejected: dict[str, int]) -> ModelErrors:
    whole = _Part(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})
    owner = np.repeat(np.arange(len(whole.n_atoms)), whole.n_atoms)
    energy = 1000 * (whole.predicted_energy - whole.energy)
    force = 1000 * (whole.predicted_forces - whole.forces)

    def errors(structures: npt.NDArray[np.bool_], atoms: npt.NDArray[np.bool_]) -> PartErrors:
        return PartErrors(energy=ErrorStatistics.of(energy[structures]), forces=ErrorStatistics.of(force[atoms]))

    elements, sources = {}, {}
    for z in np.unique(whole.numbers).tolist():
        atoms = whole.numbers == z
        elements[SYMBOLS[z]] = errors(np.bincount(owner[atoms], minlength=len(energy)) > 0, atoms)
    for name in sorted(set(whole.source.tolist())):
        own = whole.source == name
        sources[name] = errors(own, own[owner])
    return ModelErrors(
        overall=errors(np.ones(len(energy), dtype=bool), np.ones(len(force), dtype=bool)),
        by_element=elements,
        by_source=sources,
        rejected=rejected,
        energy=whole.energy,
        predicted_energy=whole.predicted_energy,
        forces=whole.forces,
        predicted_forces=whole.predicted_forces,
        n_atoms=whole.n_atoms,
    )
