"""Search spaces are read with their lines, and every mistake leads to its line and its remedy."""

import importlib.util
import json
import math
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from raysweep.core.errors import SpaceError
from raysweep.core.trial import OptimizerSpec, TrialSpec
from raysweep.models.registry import architecture
from raysweep.sweep.guests.entrypoint import load_entrypoint
from raysweep.sweep.space.networks import check_sizes
from raysweep.sweep.space.space import Space, load_space, parse_space

TEXT = """\
name: toy
storage: runs/toy
entrypoint: toy_trials:train
families:
  a:
    architecture: toy-a
    fixed: {depth: 2}
    sizes:
      width: [8, 16]
    base: {width: 8}
grid:
  structures: [400, 100, 200, 100]
  flops: [1e9, 1.5e10]
learning_rate:
  low: 1e-3
  high: 1e-1
  structures: 100
"""
QUICKSTART = Path(__file__).parents[3] / "search_spaces" / "quickstart.yaml"


def parse(old: str = "", new: str = "", *overrides: str) -> Space:
    assert old in TEXT
    return parse_space(TEXT.replace(old, new, 1), "toy.yaml", overrides)


def test_numbers_ladders_and_defaults_are_read() -> None:
    space = parse()
    assert space.learning_rate.low == 1e-3  # YAML 1.1 would read a text
    assert space.grid.flops == (1e9, 1.5e10)
    assert space.grid.structures == (100, 200, 400)
    assert space.families["a"].members() == ({"depth": 2, "width": 8}, {"depth": 2, "width": 16})
    assert space.families["a"].base_size() == {"depth": 2, "width": 8}
    assert space.resources.cpu == 1
    assert space.tracking.enabled


def test_ladder_may_be_a_list_of_sizes() -> None:
    space = parse("width: [8, 16]", "- {width: 8, depth: 1}\n      - {width: 16}")
    assert space.families["a"].members() == ({"depth": 1, "width": 8}, {"depth": 2, "width": 16})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("structures: [4", "structrues: [4", "toy.yaml:12: grid.structrues: unknown key; nearest: structures"),
        ("  low: 1e-3\n", "", "toy.yaml:14: learning_rate.low: missing"),
        ("base:", "bsae:", "toy.yaml:10: families.a.bsae: unknown key; nearest: base"),
        ("high: 1e-1", "high: 1e-4", "toy.yaml:14: learning_rate: low (0.001) must be below high (0.0001)"),
        ("[400, 100, 200, 100]", "[400, x]", "toy.yaml:12: grid.structures.1: Input should be a number, not 'x' (data"),
        ("[400, 100, 200, 100]", "[0, 5]", "toy.yaml:12: grid.structures: must be above 0"),
        ("name: toy", "name: ../toy", "toy.yaml:1: name: String should match pattern"),
        ("  a:\n", "  ../a:\n", "toy.yaml:5: families.../a: not a name"),
        ("name: toy\n", "", "toy.yaml:1: name: missing: name of the sweep"),
        ("name: toy", "name: toy\nname: toy2", "toy.yaml:2: name: written twice (first in line 1)"),
        ("width: [8, 16]", "width: [8, 16]\n      depth: [1]", "the lists in `sizes` are paired up"),
        (
            "entrypoint: toy_trials:train\n",
            "",
            "data: missing: without an entrypoint, training needs",
        ),
        ("name: toy", "name: !!python/object/apply:os.system [echo hacked]", "toy.yaml:1: name: not plain YAML: tag"),
        ("name: toy", "name: [unclosed", "not plain YAML"),
        ("name: toy", "name: &a [*a]", "toy.yaml: nested too deeply, or an alias within"),
        (
            "entrypoint:",
            "data: {store: d, make: {structures: 50, preset: divers}}\nentrypoint:",
            "toy.yaml:3: data.make.preset: Input should be 'small-organics', 'organics', 'diverse', 'reactive' or "
            "'large-organics', not 'divers'; nearest: diverse",
        ),
        (
            "entrypoint:",
            "data: {store: d, make: {structures: 50, present: diverse}}\nentrypoint:",
            "toy.yaml:3: data.make.present: unknown key; nearest: preset",
        ),
        (TEXT, "- a list", "toy.yaml:1: a search space is a mapping"),
        (TEXT, "", "toy.yaml: a search space is a mapping"),
    ],
)
def test_error_names_file_line_key_and_remedy(old: str, new: str, message: str) -> None:
    with pytest.raises(SpaceError) as error:
        parse(old, new)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("{depth: 2}", "{depth: {low: 1, high: 3}}", 7),
        ("width: [8, 16]", "width: {choice: [8, 16]}", 9),
        ("  low: 1e-3", "  width: {low: 8, high: 16}\n  low: 1e-3", 15),
    ],
)
def test_search_of_anything_but_the_learning_rate_is_refused_with_the_reason(old: str, new: str, line: int) -> None:
    with pytest.raises(SpaceError) as error:
        parse(old, new)
    assert f"toy.yaml:{line}: " in str(error.value)
    assert "only the learning rate is searched" in str(error.value)
    assert "would bend the frontier" in str(error.value)


def test_overrides_set_values_lists_items_and_new_keys() -> None:
    space = parse(
        "", "", "grid.seeds=[0,1]", "families.a.sizes.width.1=32", "resources.gpu=0.25", "learning_rate.high=2e-1"
    )
    assert space.grid.seeds == (0, 1)
    assert space.families["a"].members()[1]["width"] == 32
    assert space.resources.gpu == 0.25
    assert space.learning_rate.high == 0.2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("grid.sedes=1", "override 'grid.sedes=1': grid.sedes: unknown key; nearest: seeds"),
        ("resources.gpu=0.3", "resources: gpu (0.3) must be a whole number or 1/n"),
        ("grid", "override 'grid': write key=value"),
        ("name.first=x", "is below a single value ('toy')"),
        ("families.a.sizes.width.9=1", "is not an index below 2"),
        ("learning_rate.rates.z=1", "learning_rate.rates.z: no such family; known: a"),
    ],
)
def test_wrong_override_is_named(override: str, message: str) -> None:
    with pytest.raises(SpaceError) as error:
        parse("", "", override)
    assert message in str(error.value)


def test_absent_file_is_named() -> None:
    with pytest.raises(SpaceError, match=r"nowhere.yaml: no such search space"):
        load_space("nowhere.yaml")


def test_entrypoint_is_found_beside_the_search_space_and_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(Path.cwd())])
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "beside_it.py").write_text("def train(spec, store, *, checkpoints, device): ...")
    (tmp_path / "here_alone.py").write_text("def train(spec, store, *, checkpoints, device): ...")
    (tmp_path / "spaces" / "json.py").write_text("dumps = None")
    (tmp_path / "spaces" / "toy.yaml").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    for entrypoint in ("beside_it:train", "here_alone:train"):
        load_space("spaces/toy.yaml", [f"entrypoint={entrypoint}"])
        assert callable(load_entrypoint(entrypoint))
    assert importlib.util.find_spec("json").origin == json.__file__  # type: ignore[union-attr]
    assert sys.path[-2:] == [str(tmp_path / "spaces"), str(tmp_path)]  # which workers are sent


def test_quickstart_is_valid_every_line_of_it_commented_and_its_sizes_are_known() -> None:
    space = load_space(QUICKSTART)
    assert len(space.families) >= 4
    assert all(len(family.sizes) >= 4 for family in space.families.values())
    assert len(space.grid.structures) >= 4
    check_sizes(space)
    lines = [line for line in QUICKSTART.read_text().splitlines() if line.strip()]
    bare = [line for line in lines if "#" not in line and not line.rstrip().endswith(":")]
    assert len(bare) <= len(lines) / 2, "\n".join(bare)


@pytest.mark.parametrize(
    ("override", "line_of", "message"),
    [
        ("families.tensor-l2.sizes={widht: [4]}", "override", "widht"),
        ("families.mpnn.fixed={depth: 3, l_max: 2}", "override", "l_max"),
        ("families.mpnn.architecture=mpnm", "override", "mpnn"),
    ],
)
def test_size_that_an_architecture_does_not_know_is_refused(override: str, line_of: str, message: str) -> None:
    space = load_space(QUICKSTART, [override])
    with pytest.raises(SpaceError) as error:
        check_sizes(space)
    assert str(error.value).startswith(line_of)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.precision=tf32"], "training.precision: tf32 needs a GPU, and resources.gpu is 0"),
        (["training.optimizer={name: cosine, decay_share: 0.1}"], r"decay_share \(0.1\) would not be read"),
        (["families.mpnn.symmetry={agument: true}"], "unknown key; nearest: augment"),
    ],
)
def test_training_that_cannot_be_is_refused_by_its_key(overrides: list[str], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        load_space(QUICKSTART, overrides)


def test_compile_is_for_families_that_can_be_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    space = load_space(QUICKSTART, ["training.compile=true"])
    check_sizes(space)
    monkeypatch.setattr(architecture("egnn").network, "compiles", False)
    with pytest.raises(SpaceError, match=r"training.compile: architecture 'egnn' does not support compile: true"):
        check_sizes(space)


def test_symmetry_is_for_families_that_have_none() -> None:
    check_sizes(load_space(QUICKSTART, ["families.mpnn.symmetry={augment: true, frames: true, loss_rotations: 2}"]))
    with pytest.raises(SpaceError, match=r"families.egnn.symmetry: architecture 'egnn' is equivariant"):
        check_sizes(load_space(QUICKSTART, ["families.egnn.symmetry={frames: true}"]))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("grid.seeds=[-1]", "grid.seeds.0: Input should be greater than or equal to 0, not -1"),
        ("grid.seeds=[0, 4294967296]", "grid.seeds.1: Input should be less than or equal to 4294967295"),
        ("learning_rate.seed=36893488147419103232", "learning_rate.seed: Input should be at most 2^53"),
        ("grid.seeds=[true]", "grid.seeds.0: Input should be a number, not true"),
        ("grid.seeds=['1']", "grid.seeds.0: Input should be a number, not '1'"),
        ("grid.seeds=[1.5]", "grid.seeds.0: Input should be a valid integer, got a number with a fractional part"),
        ("grid.seeds=~", "grid.seeds: Input should be a list, not null (random seeds; each gives one"),
        ("grid.seeds={a: 1}", "grid.seeds: Input should be a list, not {'a': 1}"),
        ("grid=3", "grid: Input should be a mapping, not 3 (the joint grid)"),
        ("learning_rate.low=.nan", "learning_rate.low: Input should be a finite number"),
        ("learning_rate.high=.inf", "learning_rate.high: Input should be a finite number"),
        ("learning_rate.high=inf", "learning_rate.high: Input should be a number; infinity is written .inf, not 'inf'"),
        ("learning_rate.high=1e999", "learning_rate.high: Input should be a finite number"),
        ("learning_rate.high=1e300", "learning_rate.high: Input should be 0, or between 1e-30 and 1e+30 in size"),
        ("learning_rate={low: 1e-2, high: 1e-2}", "learning_rate: low (0.01) must be below high (0.01)"),
        ("learning_rate.rungs=7", "learning_rate.rungs: 7 rungs up to 100 structures, each 1/3 of the next, give"),
        ("learning_rate.low=0", "learning_rate.low: Input should be greater than 0, not 0"),
        ("grid.flops=[1e9, .nan]", "grid.flops.1: Input should be a finite number"),
        ("resources.timeout_seconds=.inf", "leave the key out where there is no limit, not .inf"),
        ("resources.gpu=true", "resources.gpu: Input should be a number, not true"),
        ("training.optimizer.betas=[0.9, .inf]", "training.optimizer.betas.1: Input should be a finite number"),
        ("training.optimizer.clip_norm=.nan", "training.optimizer.clip_norm: Input should be a finite number"),
        ("training.optimizer.clip_norm=-.inf", "training.optimizer.clip_norm: Input should be a finite number"),
        ("families.a.fixed={cutoff: .inf}", "families.a.fixed.cutoff: Input should be a finite number"),
        ("families.a.fixed={depth: [3]}", "families.a.fixed.depth: Input should be a number or true or"),
        ("families.a.sizes.width.1=.nan", "families.a.sizes.width.1: Input should be a finite number"),
        ("families.a.sizes.width.1=[2]", "families.a.sizes.width.1: Input should be a number or true or false"),
        ("families.a.sizes={params: {from: x, to: 1e5, steps: 3}}", "families.a.sizes.params.from: Input should"),
        ("storage=\"a\\0b\"", "storage: String should match pattern"),
        ("earlier=[\"a\\nb\"]", "earlier.0: String should match pattern"),
        ("name=" + "x" * 300, "name: String should match pattern '^[A-Za-z0-9]"),
    ],
)  # fmt: skip
def test_value_that_cannot_be_is_refused_at_its_key(override: str, message: str) -> None:
    with pytest.raises(SpaceError) as error:
        parse("", "", override)
    assert f"override {override!r}: " in str(error.value)
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_no_clipping_is_kept_as_such_in_json_and_read_back() -> None:
    space = parse("", "", "training.optimizer.clip_norm=.inf")
    assert space.training.optimizer.clip_norm == math.inf
    text = json.dumps(space.model_dump(mode="json"), allow_nan=False)
    assert '"clip_norm": "inf"' in text
    assert Space.model_validate_json(text).training.optimizer.clip_norm == math.inf
    spec = TrialSpec(
        architecture="toy", size={"width": 8}, fingerprint="f", structures=4, learning_rate=0.1,
        optimizer=space.training.optimizer,
    )  # fmt: skip
    assert TrialSpec.model_validate_json(spec.model_dump_json()) == spec
    assert spec.trial_id != spec.model_copy(update={"optimizer": OptimizerSpec()}).trial_id


@pytest.mark.parametrize("changed", [{"seed": -1}, {"seed": 2**32}, {"learning_rate": math.nan}, {"epochs": math.inf}])
def test_trial_of_an_impossible_number_is_refused(changed: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(changed))):
        TrialSpec(
            **{"architecture": "a", "size": {}, "fingerprint": "f", "structures": 4, "learning_rate": 0.1, **changed}
        )
