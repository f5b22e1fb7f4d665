"""Specifications of trials: of the grid, and of any trajectory of a family."""

from raysweep.core.hashing import size_json
from raysweep.core.trial import TrialSpec
from raysweep.storage.trial_store import Assignment
from raysweep.sweep.plan.designs import Course
from raysweep.sweep.space.facts import DataFacts
from raysweep.sweep.space.parts import Size
from raysweep.sweep.space.space import Space


def grid_spec(
    space: Space, facts: DataFacts, label: str, size: Size, seed: int, rate: float, course: Course
) -> TrialSpec:
    """Return a trajectory of one size and seed on a course."""
    return make_spec(
        space, facts, label, size, seed=seed, rate=rate, subset=course.subset, epochs=course.epochs,
        data_budgets=course.budgets(facts), flops_budgets=course.flops,
        key=("grid", "unique" if space.grid.unique else "structures"),
    )  # fmt: skip


def make_spec(
    space: Space,
    facts: DataFacts,
    label: str,
    size: Size,
    *,
    seed: int,
    rate: float,
    subset: int,
    epochs: float,
    data_budgets: tuple[float, ...],
    flops_budgets: tuple[float, ...] = (),
    key: tuple[str, ...] = ("grid", "structures"),
) -> TrialSpec:
    """Return a trajectory of a family, at most `epochs` passes over a subset of so many structures."""
    if facts.structures is not None and subset > facts.structures:
        raise space.error(
            key,
            f"{subset * epochs:.0f} structures in {epochs:g} epochs need {subset} different ones, and the store has "
            f"{facts.structures} for training; ask for fewer, make more (data.make.structures), or raise grid.epochs",
        )
    family = space.families[label]
    mup = space.learning_rate.transfer == "mup"
    return TrialSpec(
        architecture=family.architecture,
        size=size,
        base_size=family.base_size() if mup else None,
        entrypoint=space.entrypoint,
        forces=space.forces,
        fingerprint=facts.fingerprint,
        structures=subset,
        epochs=epochs,
        validation_structures=space.data.validation_structures if space.data else 256,
        data_budgets=data_budgets,
        flops_budgets=flops_budgets,
        learning_rate=rate,
        seed=seed,
        symmetry=family.symmetry,
        **dict(space.training),
    )


def assignment(spec: TrialSpec, family: str, stage: str) -> Assignment:
    """Return the statement that a trajectory serves a family and a stage."""
    return Assignment(
        trial_id=spec.trial_id, family=family, stage=stage, seed=spec.seed, size=size_json(spec.size),
        learning_rate=spec.learning_rate,
    )  # fmt: skip
