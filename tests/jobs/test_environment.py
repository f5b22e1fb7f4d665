"""A job runs in the submitter's environment, or says what differs."""

import json
import platform
from pathlib import Path

import pytest

import raysweep
from raysweep.core.errors import ClusterError
from raysweep.sweep.cluster.environment import VARIABLE, check, environment, pip_packages, source_digest


def test_the_same_environment_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment()["python"] == ".".join(platform.python_version_tuple()[:2])
    monkeypatch.setenv(VARIABLE, json.dumps(environment()))
    check()
    monkeypatch.delenv(VARIABLE)
    check()  # nothing was named


def test_each_difference_is_named_with_both_versions_and_the_remedy() -> None:
    wanted = {**environment(), "torch": "9.9", "e3nn": "8.8"}
    with pytest.raises(ClusterError, match=r"torch 2.*instead of 9\.9, e3nn .* instead of 8\.8.*--environment pip"):
        check(json.dumps(wanted))


def test_changed_source_of_one_version_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    before = source_digest(tmp_path)
    (tmp_path / "a.py").write_text("x = 2")
    assert source_digest(tmp_path) != before
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert source_digest(tmp_path) != before
    assert source_digest(Path(raysweep.__file__).parent) == environment()["raysweep source"]


def test_pip_packages_are_exact_whole_and_leave_ray_to_the_cluster() -> None:
    packages = dict(line.split("==") for line in pip_packages())
    assert packages["torch"] == environment()["torch"]
    assert {"mlflow", "numpy", "e3nn", "typing-extensions", "opt-einsum-fx"} <= set(packages)
    assert not {"ray", "raysweep", "pytest", "ruff"} & set(packages)
