"""The parts of a search space, each a mapping of its YAML file, with their meaning and their limits."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from raysweep.core.trial import Seed, SizeValue, SymmetrySpec
from raysweep.data.generation.presets import DEFAULT_PRESET, PresetName

Size = dict[str, SizeValue]
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
LABEL = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
"""Of families: no dot, so that `families.LABEL.key=value` overrides are not ambiguous."""
PLACE = r"^[^\x00-\x1f\x7f]{1,4000}$"
"""Of folders and URIs."""


def _ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    if any(value <= 0 for value in values):
        raise ValueError("must be above 0")
    return tuple(sorted(set(values)))


def _once(values: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(values))


class Part(BaseModel):
    """A mapping that is not changed once it is read, and has no keys but its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MakeData(Part):
    """How the embedded source makes the store where it is absent (see docs/data.md)."""

    structures: int = Field(gt=0, description="structures to label, training and validation together")
    preset: PresetName = Field(
        default=DEFAULT_PRESET, description="which molecules and which structures of them (docs/data.md)"
    )
    seed: Seed = Field(default=0, description="of molecules and displacements")


class Data(Part):
    """The structures that every trial of the sweep learns from."""

    store: str = Field(pattern=PLACE, description="location of the structure store: a folder or a URI")
    make: MakeData | None = Field(default=None, description="recipe to make the store where there is none yet")
    validation_structures: int = Field(default=256, gt=0, description="size of the fixed validation set, structures")


def _also_mappings(schema: dict[str, Any]) -> None:
    """Describe in the schema all forms that `sizes` may be written in, not only the list that it is read as."""
    rows = {key: schema.pop(key) for key in ("type", "items", "default") if key in schema}
    schema["anyOf"] = [rows, {"type": "object", "description": "lists by knob, or params: {from, to, steps}"}]


class Ladder(Part):
    """Sizes by trainable parameters, even on the log scale; the width is solved for."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    start: float = Field(alias="from", gt=0, description="parameters of the smallest size")
    stop: float = Field(alias="to", gt=0, description="parameters of the largest size")
    steps: int = Field(ge=2, le=1000, description="sizes, both ends included")

    @model_validator(mode="after")
    def _ascends(self) -> "Ladder":
        if self.start >= self.stop:
            raise ValueError(f"from ({self.start:g}) must be below to ({self.stop:g})")
        return self


class Family(Part):
    """One curve of the report: an architecture, the knobs that it keeps, and a ladder of sizes."""

    architecture: str = Field(
        pattern=NAME, description="name in the model registry (docs/models.md): egnn, gemnet, tensor, ..."
    )
    fixed: Size = Field(default_factory=dict, description="knobs that all sizes share: depth, l_max, cutoff, ...")
    sizes: tuple[Size, ...] = Field(
        default=(),
        description="the ladder: lists by knob, `width: [8, 16]`, a list of knob mappings, or by parameters, "
        "`params: {from: 1e4, to: 1e7, steps: 8}`",
        json_schema_extra=_also_mappings,
    )
    ladder: SkipJsonSchema[Ladder | None] = Field(default=None, description="what `sizes: {params: ...}` stands for")
    base: Size = Field(default_factory=dict, description="the size that the learning rate is tuned at; default: first")
    symmetry: SymmetrySpec = Field(
        default_factory=SymmetrySpec, description="augmentation, symmetry loss, frames: where it is not equivariant"
    )

    @model_validator(mode="before")
    @classmethod
    def _lists_by_knob(cls, raw: object) -> object:
        """Turn `sizes: {width: [8, 16], depth: 3}` into the list of sizes that it stands for."""
        if not isinstance(raw, dict) or not isinstance(raw.get("sizes"), dict):
            return raw
        if "params" in raw["sizes"]:
            others = ", ".join(k for k in raw["sizes"] if k != "params")
            if others:
                raise ValueError(f"`sizes: {{params: ...}}` is solved for width alone; put {others} into `fixed`")
            return {**{k: v for k, v in raw.items() if k != "sizes"}, "ladder": raw["sizes"]["params"]}
        columns = {k: v for k, v in raw["sizes"].items() if isinstance(v, list)}
        lengths = {len(v) for v in columns.values()}
        if len(lengths) > 1:
            shown = ", ".join(f"{k} has {len(v)}" for k, v in columns.items())
            raise ValueError(f"lists of `sizes` pair up, so they need one length: {shown}")
        shared = {k: v for k, v in raw["sizes"].items() if not isinstance(v, list)}
        rows = [{**shared, **{k: v[i] for k, v in columns.items()}} for i in range(max(lengths, default=1))]
        return {**raw, "sizes": rows}

    @field_validator("sizes")
    @classmethod
    def _each_size_once(cls, sizes: tuple[Size, ...], info: ValidationInfo) -> tuple[Size, ...]:
        """Leave out sizes that are there already, in whatever spelling: 8 and 8.0, a knob that is fixed to the same."""
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
        """Return all sizes of the ladder with the fixed knobs filled in, in their order."""
        return tuple({**self.fixed, **size} for size in self.sizes)

    def tuned_sizes(self, settings: "LearningRate") -> tuple[Size, ...]:
        """Return the sizes whose learning rate is searched."""
        if settings.transfer == "mup":
            return (self.base_size(),)
        if settings.transfer == "per_size":
            return self.members()
        return tuple(sorted(self.members(), key=lambda size: float(size["width"]))[: settings.tuned])

    def base_size(self) -> Size:
        """Return the size at which the learning rate is tuned, fixed knobs filled in."""
        return {**self.fixed, **self.sizes[0], **self.base}


class Grid(Part):
    """Model size × data size × compute: each size and seed is one trajectory that serves every budget on it."""

    structures: Annotated[tuple[int, ...], AfterValidator(_ascending)] = Field(
        default=(), description="data budgets, in structures seen: nested subsets of the store's one order"
    )
    atoms: Annotated[tuple[float, ...], AfterValidator(_ascending)] = Field(
        default=(),
        description="data budgets, in atoms seen, instead of `structures`: as many structures as first hold them",
    )
    flops: Annotated[tuple[float, ...], AfterValidator(_ascending)] = Field(
        default=(),
        description="compute budgets, in training FLOPs; those that a trajectory does not reach are left out",
    )
    device_hours: Annotated[tuple[float, ...], AfterValidator(_ascending)] = Field(
        default=(),
        description="compute budgets, in device hours: for each size the FLOPs that its measured speed makes of them",
    )
    epochs: float = Field(
        default=1.0, ge=1, description="passes that the largest data budget makes over its structures"
    )
    unique: Annotated[tuple[int, ...], AfterValidator(_ascending)] = Field(
        default=(),
        description="distinct structures, one trajectory for each of these subsets, passed over at most `epochs` times",
    )
    seeds: Annotated[tuple[Seed, ...], AfterValidator(_once)] = Field(
        default=(0,), min_length=1, max_length=10_000, description="one trajectory for each"
    )
    design: Literal["full", "isoflop"] = Field(
        default="full", description="isoflop: each compute budget is reached by the sizes within atoms_per_param alone"
    )
    atoms_per_param: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] | None = Field(
        default=None, description="isoflop: lowest and highest D/N that the optimum may lie at"
    )

    @model_validator(mode="after")
    def _data_budgets(self) -> "Grid":
        if bool(self.structures) == bool(self.atoms):
            raise ValueError("give data budgets as `structures` or as `atoms`, one of the two")
        if self.atoms and self.unique:
            raise ValueError(
                "unique counts structures, so the budgets beside it do, too: give `structures`, not `atoms`"
            )
        return self

    @model_validator(mode="after")
    def _whole_design(self) -> "Grid":
        if (self.design == "isoflop") != (self.atoms_per_param is not None):
            raise ValueError("design: isoflop and atoms_per_param: [lowest, highest] go together: give both or neither")
        if self.design == "isoflop" and not self.flops:
            raise ValueError("design: isoflop needs compute budgets (grid.flops)")
        for subset in self.unique:
            if subset * self.epochs < self.structures[0]:
                raise ValueError(
                    f"unique: {subset} structures in {self.epochs:g} epochs do not reach the smallest data budget "
                    f"(structures: {self.structures[0]}); raise epochs, or add a smaller budget"
                )
        if self.atoms_per_param is not None and self.atoms_per_param[0] >= self.atoms_per_param[1]:
            raise ValueError(f"atoms_per_param: {self.atoms_per_param[0]:g} must be below {self.atoms_per_param[1]:g}")
        return self


class Adaptive(Part):
    """How `run --adaptive` goes on: only those trajectories of the grid that the answer needs."""

    enabled: bool = Field(default=False, description="true: as `--adaptive` on the command line")
    target: Literal["params_exponent", "data_exponent", "loss_exponent", "optimal_params", "optimal_data"] = Field(
        default="params_exponent", description="the answer whose interval is to become narrow: a, b, gamma, N*, D*"
    )
    at_flops: float | None = Field(default=None, gt=0, description="compute that optimal_* are asked for, FLOP")
    width: float | None = Field(
        default=None, gt=0, description="width of its 95 % interval at which a family is done; of optimal_* in ln"
    )
    flops: float | None = Field(
        default=None, gt=0, description="training FLOPs that the grid stage of each family may spend"
    )
    seeds: int | None = Field(
        default=None,
        gt=0,
        le=10_000,
        description="seeds of a size to choose from, grid.seeds first; default: 4 for each of them",
    )
    growth: float = Field(
        default=1.0, gt=0, description="what a round may spend, as a share of what the rounds before it spent"
    )

    @property
    def relative(self) -> bool:
        """Whether the interval's width is taken on the logarithm."""
        return self.target.startswith("optimal_")

    @model_validator(mode="after")
    def _some_end(self) -> "Adaptive":
        if self.enabled and self.width is None and self.flops is None:
            raise ValueError("give a width of the interval, or flops to spend, at which it ends")
        if self.relative != (self.at_flops is not None):
            raise ValueError("at_flops goes with target: optimal_params or optimal_data, and with no other")
        return self


class LearningRate(Part):
    """The stage that searches the learning rate, and nothing else, with Optuna and ASHA."""

    low: float | None = Field(default=None, gt=0, description="lower end of the range, searched on a log scale")
    high: float | None = Field(default=None, gt=0, description="upper end of the range")
    trials: int = Field(
        default=8, ge=3, le=10_000, description="trials for each family (for each size: transfer: per_size)"
    )
    spread: int | None = Field(
        default=None,
        ge=3,
        description="how many of them are spread evenly first; Optuna's TPE asks the rest. Default 5/8",
    )
    structures: int | None = Field(default=None, gt=0, description="structures that a trial that is not stopped sees")
    rungs: int = Field(
        default=3, ge=1, le=100, description="budgets at which trials are compared, the last one included"
    )
    reduction_factor: float = Field(default=3.0, gt=1, description="one in so many trials goes on at each rung")
    widenings: int = Field(default=2, ge=0, le=100, description="how often a range whose end is best is widened")
    transfer: Literal["mup", "power_law", "per_size"] = Field(
        default="mup",
        description="mup: tuned at the base size, carried to the others; power_law: in width, through the rates of the "
        "`tuned` smallest sizes; per_size: tuned at each",
    )
    tuned: int = Field(default=3, ge=2, description="power_law: how many sizes are tuned, the smallest ones")
    rates: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict, description="known learning rates by family; these are not searched"
    )
    seed: Seed = Field(default=0, description="of Optuna's sampler and of the tuning trials")

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
                    f"rungs: {self.rungs} of {self.structures} structures, each 1/{self.reduction_factor:g} of the "
                    f"next, are no more than {different} different ones; raise structures, or ask for fewer rungs"
                )
        return self


def rung_structures(structures: int, rungs: int, reduction_factor: float) -> tuple[int, ...]:
    """Return the rungs of a tuning trial in structures seen: structures / reduction_factor^k, ascending, at least 1."""
    return tuple(sorted({max(1, round(structures / reduction_factor**k)) for k in range(rungs)}))
