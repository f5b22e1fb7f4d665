"""The trained models of a sweep: its points, the weights that its storage keeps of them, and model files of them."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from raysweep.core.errors import ModelError
from raysweep.core.points import Point, from_table
from raysweep.core.stages import LEARNING_RATE
from raysweep.core.trial import TrialSpec
from raysweep.core.version import __version__
from raysweep.data.store.store import Store, composition_energies, open_store
from raysweep.models.registry import check_size
from raysweep.storage.layout import POINTS
from raysweep.storage.reader import SweepReader
from raysweep.trained.model import LoadedModel, load
from raysweep.trained.model_file import write_model
from raysweep.trained.network import KEPT, WEIGHTS, build_network, package_version, plug_in_of
from raysweep.trained.record import ModelOrigin, ModelRecord
from raysweep.trained.standing import frontier_standing
from raysweep.training.build import dataset_info
from raysweep.training.checkpoint import Checkpoint, evaluated
from raysweep.training.device.precision import weight_dtype

BEST = "best"
"""In place of a trial id: the point of the lowest loss."""


@dataclass(frozen=True, kw_only=True)
class ChosenPoint:
    """A point of a sweep whose weights are kept.

    Attributes:
        spec: its trial.
        point: the measurement.
        weights: those that it was measured with.
        family: in the search space; None where the storage does not say.
        passed_over: a point of lower loss whose weights are not kept; None where there is none.
    """

    spec: TrialSpec
    point: Point
    weights: Checkpoint
    family: str | None
    passed_over: Point | None = None


def export_model(
    storage: str | Path,
    trial: str,
    path: str | Path,
    *,
    family: str | None = None,
    budget: float | None = None,
    data: str | Path | None = None,
) -> LoadedModel:
    """Write a trained model of a sweep to a model file, and return it as `raysweep.load` reads it.

    Args:
        storage: of the sweep, a folder or a URI.
        trial: id of a trial or its first digits, or `best`: the lowest validation loss of the sweep.
        path: of the file, replaced if it exists.
        family: restricts `best`.
        budget: of the point, as the points have it; by default the last point whose weights are kept, for `best` the
            one of the lowest loss.
        data: the structure store; by default the one that the sweep's last run names.

    Raises:
        ModelError: there is no such trial, its training is an entrypoint's, or no weights of the point are kept.
        DataError: the structure store is absent, or not the one that the trial was trained on.
    """
    reader = SweepReader(str(storage))
    write_chosen(reader, choose_point(reader, trial, family=family, budget=budget), path, data)
    return load(path)


def choose_point(
    reader: SweepReader, trial: str, *, family: str | None = None, budget: float | None = None
) -> ChosenPoint:
    """Find a point of a sweep and its weights; see `export_model`."""
    families = {row.trial_id: row.family for row in reader.assignments() if row.stage != LEARNING_RATE}
    passed_over = None
    for point in _candidates(reader, trial, families, family, budget):
        for weights in _kept(reader, point.trial_id):
            if any((own.budget_kind, own.budget) == (point.budget_kind, point.budget) for own in weights.points):
                return ChosenPoint(
                    spec=_spec(reader, point.trial_id),
                    point=point,
                    weights=weights,
                    family=families.get(point.trial_id),
                    passed_over=passed_over if trial == BEST else None,
                )
        passed_over = passed_over or point
    what = "its point" if passed_over is not None else "a point"
    raise ModelError(
        f"{reader.location}: trial {trial}: the weights of {what}{_at(budget)} are not kept here; export another "
        "point, or run the sweep in a new storage with keep_weights: all"
    )


def write_chosen(reader: SweepReader, chosen: ChosenPoint, path: str | Path, data: str | Path | None = None) -> None:
    """Write a chosen point to a model file; see `export_model`."""
    store = _store_of(reader, chosen.spec, data)
    record = describe(reader, chosen, store)
    found = chosen.weights.tensors
    tensors = {_renamed(name): value for name, value in found.items()}
    build_network(record, tensors, f"trial {chosen.spec.trial_id}")  # refuses what could not be read back
    write_model(str(path), record, tensors)


def describe(reader: SweepReader, chosen: ChosenPoint, store: Store) -> ModelRecord:
    """Describe the model of a chosen point, trained on a store."""
    spec, manifest = chosen.spec, store.manifest
    size, dataset = check_size(spec.architecture, spec.size), dataset_info(store)
    references = composition_energies(manifest.reference_energies, manifest.binding_energies)
    plug_in = plug_in_of(spec.architecture)
    sweep = reader.identity() or {}
    numbers = chosen.weights.numbers.get("kept", {})
    assert isinstance(numbers, Mapping)
    origin = ModelOrigin(
        sweep=None if sweep.get("name") is None else str(sweep["name"]),
        family=chosen.family,
        trial_id=spec.trial_id,
        spec=spec.model_dump(mode="json"),
        point=asdict(chosen.point),
        data={
            "fingerprint": manifest.fingerprint,
            "source": manifest.source,
            "licence": manifest.licence,
            "structures": manifest.structures,
            "atoms": manifest.atoms,
            "rms_force": manifest.rms_force,
            "rms_energy": manifest.rms_energy,
        },
        frontier=frontier_standing(reader, chosen.family, chosen.point),
        versions={"raysweep": __version__, "torch": str(torch.__version__), **package_version(plug_in)},
    )
    return ModelRecord(
        architecture=spec.architecture,
        plug_in=plug_in,
        size=size.model_dump(exclude_none=True),
        forces=spec.forces,
        frames=spec.symmetry.frames,
        precision="float64" if weight_dtype(spec.precision) == torch.float64 else "float32",
        elements=list(dataset.elements),
        scale=dataset.scale,
        reference_energies={str(z): float(references[z]) for z in dataset.elements},
        cutoff=size.cutoff,
        numbers=dict(numbers),
        origin=origin,
    )


def _candidates(
    reader: SweepReader, trial: str, families: Mapping[str, str], family: str | None, budget: float | None
) -> Iterator[Point]:
    """Yield the points that are asked for, the best choice first."""
    if trial == BEST:
        if family is not None and family not in families.values():
            known = ", ".join(sorted(set(families.values()))) or "none yet"
            raise ModelError(f"{reader.location}: family {family!r} is none of the sweep's ({known})")
        wanted = {key for key, name in families.items() if family in (None, name)}
        every = list(_points(reader, sorted(wanted)))
        points = [point for point in every if _is_at(point, budget)]
        if not points:
            known = ", ".join(f"{value:g}" for value in sorted({point.budget for point in every}))
            remedy = f"; its points are at {known}" if known else " yet; run it first, or check the path"
            raise ModelError(f"{reader.location}: the sweep has no points{_at(budget)}{remedy}")
        yield from sorted(points, key=lambda point: point.loss)
        return
    trial_id = _trial_id(reader, trial)
    points = list(_points(reader, [trial_id]))
    chosen = [point for point in points if _is_at(point, budget)]
    if not chosen:
        known = ", ".join(f"{point.budget:g}" for point in points)
        raise ModelError(
            f"{reader.location}: trial {trial_id} has no point{_at(budget)}; "
            + (f"its points are at {known}" if known else "it has not ended")
        )
    yield from reversed(chosen)


def _is_at(point: Point, budget: float | None) -> bool:
    """Whether a point is at a budget as messages and tables print it, to six digits."""
    return budget is None or math.isclose(point.budget, budget, rel_tol=5e-6)


def _at(budget: float | None) -> str:
    return "" if budget is None else f" at budget {budget:g}"


def _points(reader: SweepReader, trials: list[str]) -> Iterator[Point]:
    for trial_id in trials:
        yield from from_table(reader.points_or_none(trial_id))


def _trial_id(reader: SweepReader, trial: str) -> str:
    found = [trial_id for trial_id in reader.ids() if trial and trial_id.startswith(trial)]
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} trials begin with it; give more digits" if found else "there is no such trial"
    raise ModelError(f"{reader.location}: trial {trial!r}: {what} ({POINTS} and MLflow name them; `best` is the best)")


def _spec(reader: SweepReader, trial_id: str) -> TrialSpec:
    spec = reader.spec(trial_id)
    if spec.entrypoint is not None:
        raise ModelError(
            f"trial {trial_id} was trained by {spec.entrypoint}: raysweep does not know its network; export it from "
            "that code"
        )
    return spec


def _kept(reader: SweepReader, trial_id: str) -> list[Checkpoint]:
    """The weights that are kept of a trial, here or in the storage of an earlier sweep that it was copied from."""
    found = evaluated(reader.checkpoints(trial_id), trial_id)
    earlier = (reader.recorded_space() or {}).get("earlier", ())
    for location in earlier if isinstance(earlier, list | tuple) else ():
        if not found:
            found = evaluated(SweepReader(str(location)).checkpoints(trial_id), trial_id)
    return found


def _store_of(reader: SweepReader, spec: TrialSpec, data: str | Path | None) -> Store:
    """Open the structure store of a trial."""
    if data is None:
        named = (reader.recorded_space() or {}).get("data")
        data = named.get("store") if isinstance(named, Mapping) else None
        if data is None:
            raise ModelError(f"{reader.location}: it does not say where its structures are; give the store (--data)")
    store = open_store(data)
    if store.manifest.fingerprint != spec.fingerprint:
        raise ModelError(
            f"store {store.location}: its fingerprint is {store.manifest.fingerprint}, and trial {spec.trial_id} was "
            f"trained on {spec.fingerprint}; give the store of the sweep (--data)"
        )
    return store


def _renamed(name: str) -> str:
    """The name of a tensor in a model file."""
    part, _, rest = name.partition(".")
    return f"{WEIGHTS if part == 'model' else KEPT}{rest}"
