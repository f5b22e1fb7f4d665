"""Specifications of trials, from the parts of a search space that determine them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from raysweep.core.hashing import size_json
from raysweep.core.trial import TrialSpec
from raysweep.storage.trial_store import Assignment
from raysweep.sweep.plan.designs import Course
from raysweep.sweep.space.facts import DataFacts
from raysweep.sweep.space.parts import Family, LearningRate, Size, rung_structures
from raysweep.sweep.space.running import Training
from raysweep.sweep.space.space import Space
from raysweep.sweep.space.yaml_lines import ErrorAt

_VALIDATION = 256
"""Structures of the validation set where a search space has no data."""


@dataclass(frozen=True, kw_only=True)
class TrialSpecs:
    """Makes the specifications of a sweep's trials; its fields are all that a trial id depends on, but for the grid."""

    families: Mapping[str, Family]
    learning_rate: LearningRate
    training: Training
    forces: Literal["direct", "conservative"]
    entrypoint: str | None
    validation_structures: int
    subset_key: Literal["unique", "structures"]
    """Key of `grid` that says how many distinct structures a trajectory needs, for errors."""
    facts: DataFacts
    error: ErrorAt

    @classmethod
    def of(cls, space: Space, facts: DataFacts) -> "TrialSpecs":
        """Take the parts of a resolved search space."""
        return cls(
            families=space.families,
            learning_rate=space.learning_rate,
            training=space.training,
            forces=space.forces,
            entrypoint=space.entrypoint,
            validation_structures=space.data.validation_structures if space.data else _VALIDATION,
            subset_key="unique" if space.grid.unique else "structures",
            facts=facts,
            error=space.error,
        )

    def grid(self, family: str, size: Size, seed: int, rate: float, course: Course) -> TrialSpec:
        """Specify a trajectory of the grid: one size and seed on a course.

        Raises:
            SpaceError: it needs more structures than there are.
        """
        self._check(course.subset, course.epochs, ("grid", self.subset_key))
        return self._spec(
            family, size, seed=seed, learning_rate=rate, structures=course.subset, epochs=course.epochs,
            data_budgets=course.budgets(self.facts), flops_budgets=course.flops,
        )  # fmt: skip

    def tuning(self, family: str, size: Size, rate: float) -> TrialSpec:
        """Specify a trial of the learning-rate stage, whose data budgets are ASHA's rungs.

        Raises:
            SpaceError: it needs more structures than there are.
        """
        settings = self.learning_rate
        assert settings.structures is not None
        self._check(settings.structures, 1.0, ("learning_rate", "structures"))
        rungs = rung_structures(settings.structures, settings.rungs, settings.reduction_factor)
        return self._spec(
            family, size, seed=settings.seed, learning_rate=rate, structures=settings.structures, epochs=1.0,
            data_budgets=tuple(self.facts.atoms(n, settings.structures) for n in rungs),
        )  # fmt: skip

    def horizons(self, family: str, size: Size, rate: float) -> list[TrialSpec]:
        """Specify the trials that show a rate at each horizon: one for all, or one for each with cosine.

        Raises:
            SpaceError: they need more structures than there are.
        """
        settings, optimizer = self.learning_rate, self.training.optimizer
        self._check(settings.horizons[-1], 1.0, ("learning_rate", "horizons"))
        ends = [(n,) for n in settings.horizons] if optimizer.name == "cosine" else [settings.horizons]
        return [
            self._spec(
                family, size, seed=settings.seed, learning_rate=rate, structures=end[-1], epochs=1.0,
                data_budgets=tuple(self.facts.atoms(n, end[-1]) for n in end),
            )
            for end in ends
        ]  # fmt: skip

    def _check(self, subset: int, epochs: float, key: tuple[str, ...]) -> None:
        available = self.facts.structures
        if available is not None and subset > available:
            passes = ", or raise grid.epochs" if key[0] == "grid" else ""
            raise self.error(
                key,
                f"{subset * epochs:.0f} structures in {epochs:g} epochs need {subset} different ones, and the store "
                f"has {available} for training; ask for fewer, or make more (data.make.structures){passes}",
            )

    def _spec(
        self,
        label: str,
        size: Size,
        *,
        seed: int,
        learning_rate: float,
        structures: int,
        epochs: float,
        data_budgets: tuple[float, ...],
        flops_budgets: tuple[float, ...] = (),
    ) -> TrialSpec:
        family = self.families[label]
        return TrialSpec(
            architecture=family.architecture,
            size=size,
            base_size=family.base_size() if self.learning_rate.transfer == "mup" else None,
            entrypoint=self.entrypoint,
            forces=self.forces,
            fingerprint=self.facts.fingerprint,
            structures=structures,
            epochs=epochs,
            validation_structures=self.validation_structures,
            data_budgets=data_budgets,
            flops_budgets=flops_budgets,
            learning_rate=learning_rate,
            seed=seed,
            symmetry=family.symmetry,
            **dict(self.training),
        )


def assignment(spec: TrialSpec, family: str, stage: str) -> Assignment:
    """Assign a trajectory to a family and a stage."""
    return Assignment(
        trial_id=spec.trial_id, family=family, stage=stage, seed=spec.seed, size=size_json(spec.size),
        learning_rate=spec.learning_rate,
    )  # fmt: skip
