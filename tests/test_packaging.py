"""What an installation of raysweep promises: types, ranges that leave other packages alone, metadata that agree."""

import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from ruamel.yaml import YAML

import raysweep

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [Requirement(text) for text in PROJECT["dependencies"]]
EVERY = [
    *REQUIREMENTS,
    *(Requirement(text) for group in PROJECT["optional-dependencies"].values() for text in group),
]


def pins(name: str) -> dict[str, Version]:
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    pairs = [line.split("==") for line in lines if line]
    return {canonicalize_name(package): Version(version) for package, version in pairs}


def test_the_package_says_that_it_is_typed():
    assert files("raysweep").joinpath("py.typed").is_file()
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "py.typed" in setuptools["package-data"]["raysweep"]  # else a wheel would leave it out


def test_the_public_face_is_complete_and_sorted():
    assert raysweep.__all__ == sorted(raysweep.__all__)
    assert set(raysweep.__all__) == set(raysweep._MODULES)
    for name in raysweep.__all__:
        assert getattr(raysweep, name) is not None
        assert name in dir(raysweep)
    with pytest.raises(AttributeError, match="no attribute 'fit'"):
        _ = raysweep.fit  # type: ignore[attr-defined]


def test_no_dependency_is_pinned_to_one_version():
    for requirement in EVERY:
        assert not any(part.operator in ("==", "===", "~=") for part in requirement.specifier), str(requirement)


@pytest.mark.parametrize("torch", ["2.9.0", "2.9.1", "2.10.0", "2.12.1", "2.13.0", "2.13.0+cpu", "2.14.1+cu130"])
def test_a_torch_that_is_installed_already_is_kept(torch):
    """pip leaves an installed version alone that the metadata allow, its local part included."""
    (requirement,) = [one for one in REQUIREMENTS if one.name == "torch"]
    assert requirement.specifier.contains(torch)


def test_the_pinned_environment_lies_within_the_ranges():
    pinned = pins("constraints.txt")
    for requirement in EVERY:
        if requirement.name != "raysweep":
            version = pinned[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version), f"{requirement}, but constraints.txt has {version}"


def test_the_citation_names_this_version_and_the_licence():
    citation = YAML(typ="safe").load(ROOT / "CITATION.cff")
    assert citation["version"] == raysweep.__version__
    assert citation["license"] == PROJECT["license"]
    assert citation["repository-code"] == PROJECT["urls"]["Homepage"]
    assert f"({raysweep.__version__})" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize(
    ("schema", "file"),
    [("github-workflows", ".github/workflows/ci.yml"), ("citation-file-format", "CITATION.cff")],
)
def test_files_for_a_public_host_follow_their_schema(schema, file):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(ROOT / file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_public_gate_does_what_the_gate_does():
    workflow = YAML(typ="safe").load(ROOT / ".github/workflows/ci.yml")
    steps = [step.get("run") for job in workflow["jobs"].values() for step in job["steps"]]
    assert "bash .ci/run" in steps
    assert "make test-lowest" in steps


def test_the_lowest_environment_has_the_lower_ends():
    """All but torch, whose old releases have no wheels for CPUs alone."""
    pinned = pins("constraints-lowest.txt")
    for requirement in REQUIREMENTS:
        (lowest,) = [part.version for part in requirement.specifier if part.operator == ">="]
        if requirement.name != "torch":
            assert pinned[canonicalize_name(requirement.name)] == Version(lowest), str(requirement)
    assert pinned["torch"] == pins("constraints.txt")["torch"]
