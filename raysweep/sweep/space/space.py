"""The search space: everything that defines a sweep, in one typed YAML file."""

import os
import sys
from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr, ValidationError

from raysweep.core.errors import SpaceError
from raysweep.sweep.space import yaml_lines
from raysweep.sweep.space.automatic import automatic_rounds, check_automatic, is_automatic
from raysweep.sweep.space.data import Data
from raysweep.sweep.space.errors import first_error, refuse_other_searches, refuse_unusable_numbers
from raysweep.sweep.space.forecast import ForecastWanted
from raysweep.sweep.space.parts import LABEL, NAME, PLACE, Adaptive, Family, Grid, LearningRate, Part
from raysweep.sweep.space.race import Race
from raysweep.sweep.space.running import Caps, Resources, Tracking, Training


class Space(Part):
    """A search space, read and checked by `load_space`."""

    name: str = Field(pattern=NAME, description="name of the sweep")
    storage: str = Field(pattern=PLACE, description="where its trials are stored: a folder or a URI (s3://, gs://)")
    earlier: tuple[Annotated[str, Field(pattern=PLACE)], ...] = Field(
        default=(),
        description="storages of earlier sweeps: identical trials that ended there are reused, not run again",
    )
    data: Data | None = Field(
        default=None, description="the structures to train on; optional only with an `entrypoint`"
    )
    entrypoint: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="package.module:function, a generator of points that replaces raysweep's own training",
    )
    changed_code: Literal["ask", "keep", "redo"] = Field(
        default="ask",
        description="what to do with trials that ran with other code of the entrypoint or of a plug-in architecture. "
        "ask: refuse to continue; keep: treat them as identical; redo: run them again",
    )
    families: dict[Annotated[str, Field(pattern=LABEL)], Family] = Field(
        min_length=1, description="the curves to compare"
    )
    forces: Literal["direct", "conservative"] = Field(
        default="direct", description="direct: predicted by a head; conservative: the negative gradient of the energy"
    )
    grid: Grid = Field(description="the joint grid")
    adaptive: Adaptive = Field(default_factory=Adaptive, description="which trajectories of the grid `--adaptive` runs")
    race: Race = Field(default_factory=Race, description="how `raysweep choose` finds the best family")
    forecast: ForecastWanted = Field(
        default_factory=ForecastWanted, description="a forecast that the run ends with, and its proof; default: none"
    )
    learning_rate: LearningRate = Field(description="the learning-rate stage")
    training: Training = Field(default_factory=Training, description="training settings shared by all trials")
    resources: Resources = Field(default_factory=Resources, description="resources and limits of one trial")
    keep_weights: Literal["last", "best", "all"] = Field(
        default="last",
        description="the points of a trial whose weights stay in the storage, for `raysweep export`. last: its last "
        "point; best: that, and the one of the lowest loss; all: every point",
    )
    caps: Caps = Field(default_factory=Caps, description="limits at which the sweep stops; it can be resumed")
    tracking: Tracking = Field(default_factory=Tracking, description="MLflow")

    _source: yaml_lines.Source | None = PrivateAttr(default=None)

    @property
    def architectures(self) -> tuple[str, ...]:
        """The distinct architectures of the families."""
        return tuple(dict.fromkeys(family.architecture for family in self.families.values()))

    @property
    def in_rounds(self) -> Adaptive | Race | None:
        """The settings by which trajectories of the grid are chosen in rounds; None: all of it is run."""
        return self.race if self.race.enabled else self.adaptive if self.adaptive.enabled else None

    def seeds(self) -> tuple[int, ...]:
        """The seeds of planned trajectories; rounds have more to choose from than the grid."""
        if self.in_rounds is None:
            return self.grid.seeds
        wanted = self.in_rounds.seeds or 4 * len(self.grid.seeds)
        others = (seed for seed in range(max(self.grid.seeds) + wanted + 1) if seed not in self.grid.seeds)
        return tuple(islice(chain(self.grid.seeds, others), wanted))

    def error(self, path: Sequence[str | int], reason: str) -> SpaceError:
        """Make an error about a key that names its line."""
        source = self._source or yaml_lines.Source(self.name, None)
        return source.error(path, reason)


def load_space(path: str | Path, overrides: Sequence[str] = ()) -> Space:
    """Return the search space of a YAML file, with `key=value` overrides applied.

    Args:
        path: the YAML file.
        overrides: such as `grid.seeds=[0,1]`; dots lead into mappings and lists, values are YAML.

    Raises:
        SpaceError: names file, line, key, reason and the nearest right key.
    """
    space = _validated(yaml_lines.override(yaml_lines.read(path), overrides))
    if space.entrypoint is not None:
        _make_importable(str(Path(path).expanduser().resolve().parent))
    return space


def parse_space(text: str, name: str = "search space", overrides: Sequence[str] = ()) -> Space:
    """Return the search space of a YAML text (see `load_space`)."""
    return _validated(yaml_lines.override(yaml_lines.parse(text, name), overrides))


def _make_importable(folder: str) -> None:
    """Find an entrypoint's module next to the search space and in the current folder; workers look there, too.

    Last, so that a file there hides no library. The `raysweep` script, unlike `python -m`, does not look there.
    """
    sys.path.extend(place for place in dict.fromkeys((folder, os.getcwd())) if place not in sys.path)


def _validated(source: yaml_lines.Source) -> Space:
    if not isinstance(source.value, dict):
        raise source.error((), f"a search space is a mapping of keys to values, not {type(source.value).__name__}")
    refuse_other_searches(source)
    refuse_unusable_numbers(source, Space)
    try:
        space = Space.model_validate(source.value)
    except ValidationError as error:
        raise first_error(source, error, Space) from None
    space._source = source
    _check_together(space)
    if is_automatic(space.grid):
        return space.model_copy(update={"adaptive": automatic_rounds(space.grid, space.adaptive)})
    return space


def _check_together(space: Space) -> None:
    """Check conditions that involve several parts."""
    if space.data is None and space.entrypoint is None:
        raise space.error(("data",), "missing: without an entrypoint, training needs a structure store (data.store)")
    if space.training.precision == "tf32" and space.resources.gpu == 0:
        raise space.error(("training", "precision"), "tf32 needs a GPU, and resources.gpu is 0; use float32 or bf16")
    _check_race(space)
    check_automatic(space.grid, space.families, space.error)
    if (named := space.forecast.family) is not None and named not in space.families:
        raise space.error(("forecast", "family"), f"no such family{yaml_lines.nearest(named, space.families)}")
    for label in space.learning_rate.rates:
        if label not in space.families:
            raise space.error(
                ("learning_rate", "rates", label), f"no such family{yaml_lines.nearest(label, space.families)}"
            )
    for label, family in space.families.items():
        if space.learning_rate.transfer == "power_law" and label not in space.learning_rate.rates:
            _check_power_law(space, label, family)
    if set(space.families) - set(space.learning_rate.rates):
        for key in ("low", "high", "structures"):
            if getattr(space.learning_rate, key) is None:
                raise space.error(
                    ("learning_rate", key), "missing: give low, high and structures, or known `rates` for every family"
                )


def as_race(
    space: Space,
    *,
    flops: float | None = None,
    budget: str | float | None = None,
    delta: float | None = None,
    error: float | None = None,
    inference_steps: float | None = None,
) -> Space:
    """Return the space of a race across its families; arguments that are None leave its `race` settings as they are.

    Raises:
        SpaceError: a setting has no meaning, or the compute is missing.
    """
    given = {
        "at_flops": flops, "budget": budget, "delta": delta, "error": error, "inference_steps": inference_steps,
    }  # fmt: skip
    settings = {name: value for name, value in given.items() if value is not None}
    try:
        race = Race(**{**space.race.model_dump(exclude_unset=True), **settings, "enabled": True})
    except ValidationError as invalid:
        first = invalid.errors()[0]
        key = [str(part) for part in first["loc"][:1]]
        raise space.error(["race", *key], first["msg"].removeprefix("Value error, ")) from None
    racing = space.model_copy(update={"race": race})
    _check_race(racing)
    return racing


def _check_race(space: Space) -> None:
    if space.race.enabled and is_automatic(space.grid):
        raise space.error(
            ("grid", "design"), "a race across families chooses its trajectories itself; use design: full"
        )
    if space.race.enabled and space.adaptive.enabled:
        raise space.error(
            ("adaptive", "enabled"), "a race across families chooses the rounds itself; leave out --adaptive"
        )
    if space.race.enabled and len(space.families) < 2:
        raise space.error(("families",), "a race needs two families or more; with one, `raysweep run` fits its law")


def _check_power_law(space: Space, label: str, family: Family) -> None:
    """Check that a power law in width can be fitted to some sizes of a family."""
    if family.ladder is not None:
        return
    others = [{k: v for k, v in size.items() if k != "width"} for size in family.members()]
    if (
        len(family.sizes) < 2
        or not all("width" in size for size in family.members())
        or others != others[:1] * len(others)
    ):
        raise space.error(
            ("families", label, "sizes"),
            "learning_rate.transfer: power_law needs at least two sizes that differ only in width; use mup or per_size",
        )
