"""Whatever is wrong in a search space is told in a line that names its file, line and key; nothing else is raised."""

import copy
import io
import math
import re
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import toy_trials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from toy_sweep import toy_content

from raysweep.core.errors import RaysweepError
from raysweep.sweep.preview import plan
from raysweep.sweep.space.space import load_space, yaml_lines

EXAMPLES = sorted((Path(__file__).parents[3] / "search_spaces").glob("*.yaml"))
HOSTILE = (
    *(None, True, False, 0, -1, 1, 3, 7.5, -0.0, 1e-310, 1e-9, 1e12, 1e300, 2**33, 2**70, 10**400),
    *(math.inf, -math.inf, math.nan, "", " ", "x", "on", "1e5", "12", "inf", "a/b", "../up", "%41?x#y", "~nobody/x"),
    *("x" * 300, "a/" * 3000, "\0", "\n", "\x1b[31m", "日本", "s3://", "gs://b/k", "file:///", "nope://x", "://", ":"),
    *([], {}, [None], [[1]], [1, 1], [3, 2], [math.nan], ["a"], {"a": 1}, {"": None}, {"params": {"from": 1}}),
    *({"params": {"from": 1e4, "to": 1e6, "steps": 3}}, {"width": [8, "x"]}, {"width": 10**6}, {"low": 1, "high": 2}),
)
NAMES = ("", "x", "width", "seeds", "params", "make", "a.b", "a/b", "x" * 300, "\0", "日本", "<<", "1")
COST = {"params": 1000, "flops_per_atom": 6e3, "seconds_per_atom": 1e-6}
LINE = re.compile(r"fuzzed\.yaml(:\d+)?: .+")


def paths_of(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the paths of all keys and items."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, of in inner for found in [(*path, key), *paths_of(of, (*path, key))]]


@st.composite
def mutated(draw: st.DrawFn, contents: list[dict[str, object]]) -> dict[str, object]:
    content = copy.deepcopy(draw(st.sampled_from(contents)))
    for _ in range(draw(st.integers(1, 2))):
        paths = paths_of(content)
        if not paths:
            break
        *above, key = draw(st.sampled_from(paths))
        holder: object = content
        for part in above:
            holder = holder[part]  # type: ignore[index]
        assert isinstance(holder, dict | list)
        how = draw(st.sampled_from(("replace", "replace", "replace", "drop", "rename", "wrap", "text")))
        if how == "drop":
            del holder[key]  # type: ignore[arg-type]
        elif how == "rename" and isinstance(holder, dict):
            holder[draw(st.sampled_from(NAMES))] = holder.pop(key)
        elif how == "wrap":
            holder[key] = [holder[key]]  # type: ignore[index,call-overload]
        elif how == "text":
            holder[key] = str(holder[key])  # type: ignore[index,call-overload]
        else:
            holder[key] = draw(st.sampled_from(HOSTILE))  # type: ignore[call-overload]
    return content


def contents() -> list[dict[str, object]]:
    """Return the example search spaces, whose data are absent, and one whose training is a toy."""
    found = [yaml_lines.read(path).value for path in EXAMPLES]
    for content in found:
        assert isinstance(content, dict)
        content["data"]["store"] = "absent"
        content["storage"] = "sweep"
    toy = toy_content(Path("sweep"))
    toy["grid"] = {
        "structures": [100, 200], "flops": [1e7], "seeds": [0], "design": "isoflop", "atoms_per_param": [1e-3, 1e3]
    }  # fmt: skip
    return [*found, toy, toy]  # type: ignore[list-item]


@given(content=mutated(contents()))
@settings(
    max_examples=250, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
def test_a_search_space_is_planned_or_refused_at_its_line(
    content: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory() as folder, monkeypatch.context() as here:
        here.chdir(folder)
        here.setattr(toy_trials.train, "cost", lambda *_: SimpleNamespace(**COST))
        stream = io.StringIO()
        YAML(typ="safe", pure=True).dump(content, stream)
        Path("fuzzed.yaml").write_text(stream.getvalue())
        for line in refusal("fuzzed.yaml"):
            assert LINE.match(line), line
            assert len(line) < 1000


def refusal(path: str) -> list[str]:
    """Return the lines of a search space's refusal, none where it can be planned."""
    try:
        plan(load_space(path)).table()
    except RaysweepError as error:
        return str(error).splitlines()
    return []
