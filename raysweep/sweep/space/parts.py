"""The parts of a search space: each is a mapping in the YAML file, with the meaning and limits of its keys."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from raysweep.core.trial import Seed, SizeValue, SymmetrySpec

Size = dict[str, SizeValue]
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
LABEL = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
"""A family's label: no dot, so that `families.LABEL.key=value` overrides are not ambiguous."""
PLACE = r"^[^\x00-\x1f\x7f]{1,4000}$"
"""Pattern of folders and URIs."""


def _ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    if any(value <= 0 for value in values):
        raise ValueError("must be above 0")
    return tuple(sorted(set(values)))


def _once(values: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(values))


class Part(BaseModel):
    """An immutable mapping that rejects unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _also_mappings(schema: dict[str, Any]) -> None:
    """Describe every form in which `sizes` may be written, not only the list that it is parsed into."""
    rows = {key: schema.pop(key) for key in ("type", "items", "default") if key in schema}
    schema["anyOf"] = [rows, {"type": "object", "description": "a list per knob, or params: {from, to, steps}"}]


class Ladder(Part):
    """Sizes by number of trainable parameters, evenly spaced on a log scale; raysweep solves for the width."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    start: float = Field(alias="from", gt=0, description="number of parameters of the smallest size")
    stop: float = Field(alias="to", gt=0, description="number of parameters of the largest size")
    steps: int = Field(ge=2, le=1000, description="number of sizes, both ends included")

    @model_validator(mode="after")
    def _ascends(self) -> "Ladder":
        if self.start >= self.stop:
            raise ValueError(f"from ({self.start:g}) must be below to ({self.stop:g})")
        return self


class Family(Part):
    """One curve in the report: an architecture, its fixed knobs, and a ladder of sizes."""

    architecture: str = Field(
        pattern=NAME, description="name in the model registry (docs/models.md): egnn, gemnet, tensor, ..."
    )
    fixed: Size = Field(default_factory=dict, description="knobs shared by all sizes: depth, l_max, cutoff, ...")
    sizes: tuple[Size, ...] = Field(
        default=(),
        description="the ladder of sizes: a list per knob (`width: [8, 16]`), a list of mappings of knobs, or a range "
        "of parameter counts (`params: {from: 1e4, to: 1e7, steps: 8}`)",
        json_schema_extra=_also_mappings,
    )
    ladder: SkipJsonSchema[Ladder | None] = Field(default=None, description="parsed form of `sizes: {params: ...}`")
    base: Size = Field(default_factory=dict, description="size at which the learning rate is tuned; default: the first")
    symmetry: SymmetrySpec = Field(
        default_factory=SymmetrySpec,
        description="how a non-equivariant architecture learns symmetry: augmentation, symmetry loss, frames",
    )

    @model_validator(mode="before")
    @classmethod
    def _lists_by_knob(cls, raw: object) -> object:
        """Expand `sizes: {width: [8, 16], depth: 3}` into a list of sizes."""
        if not isinstance(raw, dict) or not isinstance(raw.get("sizes"), dict):
            return raw
        if "params" in raw["sizes"]:
            others = ", ".join(k for k in raw["sizes"] if k != "params")
            if others:
                raise ValueError(f"`sizes: {{params: ...}}` solves for the width only; move {others} to `fixed`")
            return {**{k: v for k, v in raw.items() if k != "sizes"}, "ladder": raw["sizes"]["params"]}
        columns = {k: v for k, v in raw["sizes"].items() if isinstance(v, list)}
        lengths = {len(v) for v in columns.values()}
        if len(lengths) > 1:
            shown = ", ".join(f"{k} has {len(v)}" for k, v in columns.items())
            raise ValueError(f"the lists in `sizes` are paired up, so they must have the same length: {shown}")
        shared = {k: v for k, v in raw["sizes"].items() if not isinstance(v, list)}
        rows = [{**shared, **{k: v[i] for k, v in columns.items()}} for i in range(max(lengths, default=1))]
        return {**raw, "sizes": rows}

    @field_validator("sizes")
    @classmethod
    def _each_size_once(cls, sizes: tuple[Size, ...], info: ValidationInfo) -> tuple[Size, ...]:
        """Drop duplicate sizes, however they are written: 8 and 8.0, or a knob set to its fixed value."""
        fixed, found = info.data.get("fixed", {}), dict[object, Size]()
        for size in sizes:
            knobs = {**fixed, **size}.items()
            found.setdefault(frozenset((knob, isinstance(value, bool), value) for knob, value in knobs), size)
        return tuple(found.values())

    @model_validator(mode="after")
    def _some_sizes(self) -> "Family":
        if bool(self.sizes) == (self.ladder is not None):
            raise ValueError("sizes: give at least one size, such as `sizes: {width: [8, 16]}`")
        return self

    def members(self) -> tuple[Size, ...]:
        """All sizes of the ladder in order, with the fixed knobs filled in."""
        return tuple({**self.fixed, **size} for size in self.sizes)

    def tuned_sizes(self, settings: "LearningRate") -> tuple[Size, ...]:
        """The sizes at which the learning rate is searched."""
        if settings.transfer == "mup":
            return (self.base_size(),)
        if settings.transfer == "per_size":
            return self.members()
        return tuple(sorted(self.members(), key=lambda size: float(size["width"]))[: settings.tuned])

    def base_size(self) -> Size:
        """The size at which the learning rate is tuned, with the fixed knobs filled in."""
        return {**self.fixed, **self.sizes[0], **self.base}


class Grid(Part):
    """Model size × data size × compute. Each size and seed is one trajectory, evaluated at every budget along it."""

    structures: Annotated[tuple[int, ...], AfterValidator(_ascending)] = Field(
        default=(), description="data budgets in structures seen: nested subsets of the store's fixed order"
    )
    atoms: Annotated[tuple[float, ...], AfterValidator(_ascending)] = Field(
        default=(),
        description="data budgets in atoms seen, instead of `structures`: the fewest structures that contain them",
    )
    flops: Annotated[tuple[float, ...], AfterValidator(_ascending)] = Field(
        default=(),
        description="compute budgets in training FLOPs; a trajectory skips those it does not reach",
    )
    device_hours: Annotated[tuple[float, ...], AfterValidator(_ascending)] = Field(
        default=(),
        description="compute budgets in device hours, converted to FLOPs at the measured speed of each size",
    )
    epochs: float = Field(default=1.0, ge=1, description="passes over the structures at the largest data budget")
    unique: Annotated[tuple[int, ...], AfterValidator(_ascending)] = Field(
        default=(),
        description="numbers of distinct structures: one trajectory for each, of at most `epochs` passes over them",
    )
    seeds: Annotated[tuple[Seed, ...], AfterValidator(_once)] = Field(
        default=(0,), min_length=1, max_length=10_000, description="random seeds; each gives one trajectory per size"
    )
    design: Literal["full", "isoflop", "auto"] = Field(
        default="full",
        description="isoflop: each compute budget at the sizes within atoms_per_param; auto: N* bracketed at each",
    )
    atoms_per_param: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] | None = Field(
        default=None, description="isoflop: smallest and largest D/N to cover around the optimum"
    )

    @model_validator(mode="after")
    def _data_budgets(self) -> "Grid":
        if bool(self.structures) == bool(self.atoms):
            raise ValueError("give data budgets either as `structures` or as `atoms`")
        if self.atoms and self.unique:
            raise ValueError("`unique` counts structures, so give the data budgets as `structures` too, not as `atoms`")
        return self

    @model_validator(mode="after")
    def _whole_design(self) -> "Grid":
        if (self.design == "isoflop") != (self.atoms_per_param is not None):
            raise ValueError("give both design: isoflop and atoms_per_param: [smallest, largest], or neither")
        if self.design == "isoflop" and not self.flops:
            raise ValueError("design: isoflop needs compute budgets (grid.flops)")
        for subset in self.unique:
            if subset * self.epochs < self.structures[0]:
                raise ValueError(
                    f"unique: {self.epochs:g} epochs of {subset} structures do not reach the smallest data budget "
                    f"(structures: {self.structures[0]}); raise epochs, or add a smaller budget"
                )
        if self.atoms_per_param is not None and self.atoms_per_param[0] >= self.atoms_per_param[1]:
            raise ValueError(f"atoms_per_param: {self.atoms_per_param[0]:g} must be below {self.atoms_per_param[1]:g}")
        return self


class Adaptive(Part):
    """How `run --adaptive` proceeds: it runs only those trajectories of the grid that the answer needs."""

    enabled: bool = Field(default=False, description="true: same as `--adaptive` on the command line")
    target: Literal["params_exponent", "data_exponent", "loss_exponent", "optimal_params", "optimal_data"] = Field(
        default="params_exponent", description="the answer whose interval is to be narrowed: a, b, gamma, N* or D*"
    )
    at_flops: float | None = Field(
        default=None, gt=0, description="compute in FLOPs at which optimal_params or optimal_data is wanted"
    )
    width: float | None = Field(
        default=None, gt=0, description="a family is done once its 95 % interval is this narrow (for optimal_*: in ln)"
    )
    flops: float | None = Field(
        default=None, gt=0, description="training FLOPs each family may spend in the grid stage"
    )
    seeds: int | None = Field(
        default=None,
        gt=0,
        le=10_000,
        description="seeds available for each size, starting with grid.seeds; default: four times as many as those",
    )
    growth: float = Field(default=1.0, gt=0, description="FLOPs a round may spend, relative to all rounds before it")

    @property
    def relative(self) -> bool:
        """Whether the width of the interval is measured in ln."""
        return self.target.startswith("optimal_")

    @model_validator(mode="after")
    def _some_end(self) -> "Adaptive":
        if self.enabled and self.width is None and self.flops is None:
            raise ValueError("give a stopping criterion: `width` of the interval, or `flops` to spend")
        if self.relative != (self.at_flops is not None):
            raise ValueError("at_flops is required for target: optimal_params and optimal_data, and only for those")
        return self


class LearningRate(Part):
    """The learning-rate stage: a search of the learning rate alone, with Optuna and ASHA."""

    low: float | None = Field(
        default=None, gt=0, description="lower end of the range, which is searched on a log scale"
    )
    high: float | None = Field(default=None, gt=0, description="upper end of the range")
    trials: int = Field(default=8, ge=3, le=10_000, description="trials per family (with transfer: per_size, per size)")
    spread: int | None = Field(
        default=None,
        ge=3,
        description="how many of the trials are first spread evenly; Optuna's TPE proposes the rest. Default: 5/8",
    )
    structures: int | None = Field(default=None, gt=0, description="structures seen by a trial that runs to the end")
    rungs: int = Field(
        default=3, ge=1, le=100, description="number of budgets at which trials are compared, including the last"
    )
    reduction_factor: float = Field(default=3.0, gt=1, description="one in this many trials continues past each rung")
    widenings: int = Field(
        default=2, ge=0, le=100, description="how often the range may be widened if its best rate lies at an end"
    )
    transfer: Literal["mup", "power_law", "per_size"] = Field(
        default="mup",
        description="mup: tuned at the base size and transferred to the others; power_law: a power law in width "
        "through the rates of the `tuned` smallest sizes; per_size: tuned at each size",
    )
    tuned: int = Field(default=3, ge=2, description="power_law: how many of the smallest sizes are tuned")
    rates: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict, description="known learning rates by family, which are not searched"
    )
    seed: Seed = Field(default=0, description="random seed of Optuna's sampler and of the tuning trials")
    horizons: Annotated[tuple[int, ...], AfterValidator(_ascending)] = Field(
        default=(),
        description="structures: how the best rate moves with the data is measured at the base size at these horizons, "
        "two or more; forecasts correct for it. Default: not measured",
    )
    horizon_trials: int = Field(
        default=7, ge=5, le=99, description="horizons: rates around the one found, each trained to all horizons"
    )

    horizon_grid: bool = Field(
        default=False,
        description="true: trajectories of the grid, too, are trained at rates that are corrected, each for its end",
    )

    @model_validator(mode="after")
    def _horizons(self) -> "LearningRate":
        if self.horizon_grid and not self.horizons:
            raise ValueError("horizon_grid uses rates measured at horizons: give `horizons` as well")
        if self.horizons and self.horizons[-1] < 2 * self.horizons[0]:
            raise ValueError(
                f"horizons: {list(self.horizons)} span less than a factor of 2; give two or more that lie apart, such "
                "as [1000, 8000]"
            )
        return self

    @model_validator(mode="after")
    def _range(self) -> "LearningRate":
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        if self.spread is not None and self.spread > self.trials:
            raise ValueError(f"spread ({self.spread}) must not exceed trials ({self.trials})")
        if self.structures is not None:
            different = len(rung_structures(self.structures, self.rungs, self.reduction_factor))
            if different < self.rungs:
                raise ValueError(
                    f"rungs: {self.rungs} rungs up to {self.structures} structures, each 1/{self.reduction_factor:g} "
                    f"of the next, give only {different} different ones; raise structures, or ask for fewer rungs"
                )
        return self


def rung_structures(structures: int, rungs: int, reduction_factor: float) -> tuple[int, ...]:
    """The rungs of a tuning trial in structures seen: structures / reduction_factor^k, ascending, at least 1."""
    return tuple(sorted({max(1, round(structures / reduction_factor**k)) for k in range(rungs)}))
