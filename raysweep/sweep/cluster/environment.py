"""The software environment of a sweep, and its differences from that of another machine.

Numbers depend on the versions of the packages that compute them, so a sweep runs only where all packages listed here
are equal, from the laptop that submits it to the last node.
"""

import functools
import hashlib
import json
import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from raysweep.core.errors import ClusterError
from raysweep.core.version import PACKAGE_FOLDER, __version__

VARIABLE = "RAYSWEEP_ENVIRONMENT"
"""Environment variable with the environment that a job requires, as JSON; `any`: no requirement."""
ANY = "any"
SAME_VERSIONS = "install the same versions on every node (pip install -c constraints.txt)"
PACKAGES = (
    *("ray", "torch", "numpy", "scipy", "pyarrow", "e3nn", "torch-geometric", "schedulefree", "optuna", "safetensors"),
    *("vesin", "mlflow", "pydantic"),
)
"""Packages that affect numbers, formats or protocols."""
_SOURCE = "raysweep source"


@functools.lru_cache(maxsize=1)
def environment() -> dict[str, str]:
    """Return the versions of this process's environment: Python, raysweep, its source's hash, and `PACKAGES`.

    The local part of a version (`2.13.0+cu130`) is dropped: it names the device that a package was built for.
    """
    found = {"python": ".".join(platform.python_version_tuple()[:2]), "raysweep": __version__}
    found[_SOURCE] = source_digest(PACKAGE_FOLDER)
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def source_digest(package: Path) -> str:
    """Compute twelve hexadecimal digits of the SHA-256 over all Python files of a package folder."""
    content = hashlib.sha256()
    for path in sorted(package.rglob("*.py"), key=lambda path: path.relative_to(package).as_posix()):
        content.update(path.relative_to(package).as_posix().encode() + b"\0")
        content.update(hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()[:12]


def differences(wanted: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Describe each difference of an environment from the required one."""
    return [
        f"{name} {found.get(name, 'unknown')} instead of {value}"
        for name, value in wanted.items()
        if found.get(name) != value
    ]


_DRIVER_ALONE = ("mlflow", "optuna")
"""Packages that workers do not use."""


def wanted_of_nodes() -> dict[str, str] | None:
    """Return the environment that every node must have: the submitter's, or this driver's; None: any."""
    text = os.environ.get(VARIABLE)
    if text == ANY:
        return None
    wanted: dict[str, str] = json.loads(text) if text else environment()
    return {name: value for name, value in wanted.items() if name not in _DRIVER_ALONE}


def check(text: str | None = None) -> None:
    """Compare this process's environment with the submitter's.

    Args:
        text: the submitter's environment, JSON; default: the environment variable. Empty or `any`: not compared.

    Raises:
        ClusterError: they differ; names each difference and the remedy.
    """
    text = os.environ.get(VARIABLE) if text is None else text
    if not text or text == ANY:
        return
    found = differences(json.loads(text), environment())
    if found:
        raise ClusterError(
            f"{platform.node()} has a different environment from the submitter's: {', '.join(found)}. Install the "
            "submitter's versions there (pip install -c constraints.txt), or submit with --environment pip, which "
            "does so for the job alone, or with --environment any, which accepts that numbers may differ"
        )


def pip_packages() -> list[str]:
    """List exact requirements for raysweep's installed dependencies, as `runtime_env` takes them, without Ray.

    Ray itself must be installed already, in the submitter's version.
    """
    wanted, todo = {}, ["raysweep"]
    while todo:
        name = todo.pop()
        for requirement in metadata.requires(name) or ():
            child = _needed(requirement)
            if child is None or child in wanted or child == "ray":
                continue
            try:
                wanted[child] = metadata.version(child).partition("+")[0]
            except metadata.PackageNotFoundError:
                continue  # for another platform
            todo.append(child)
    return [f"{name}=={version}" for name, version in sorted(wanted.items())]


def _needed(requirement: str) -> str | None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    parsed = Requirement(requirement)
    if parsed.marker is not None and not parsed.marker.evaluate({"extra": ""}):
        return None
    return canonicalize_name(parsed.name)
