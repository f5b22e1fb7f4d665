"""The environment that a job is to find: what the submitter's is made of, and where another one differs.

Numbers depend on the versions of what computes them, so a sweep that is submitted from a laptop runs in an environment
that equals the laptop's in all packages listed here, or not at all.
"""

import functools
import hashlib
import json
import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import raysweep
from raysweep.errors import ClusterError

VARIABLE = "RAYSWEEP_ENVIRONMENT"
"""Environment variable that tells a job what it is to find, as JSON."""
PACKAGES = (
    *("ray", "torch", "numpy", "scipy", "pyarrow", "e3nn", "torch-geometric", "schedulefree", "optuna", "safetensors"),
    *("vesin", "mlflow", "pydantic"),
)
"""What decides numbers, formats or protocols."""
_SOURCE = "raysweep source"


@functools.lru_cache(maxsize=1)
def environment() -> dict[str, str]:
    """Return the versions of this process's environment: Python, raysweep, its source's hash, and `PACKAGES`.

    A local part of a version (`2.13.0+cu130`) is left out: it says for which device a package was built.
    """
    found = {"python": ".".join(platform.python_version_tuple()[:2]), "raysweep": raysweep.__version__}
    found[_SOURCE] = source_digest(Path(raysweep.__file__).parent)
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def source_digest(package: Path) -> str:
    """Return twelve hexadecimal digits of the SHA-256 over all Python files of a package folder."""
    content = hashlib.sha256()
    for path in sorted(package.rglob("*.py"), key=lambda path: path.relative_to(package).as_posix()):
        content.update(path.relative_to(package).as_posix().encode() + b"\0")
        content.update(hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()[:12]


def differences(wanted: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Return in words where an environment differs from the one that is wanted, an empty list where it does not."""
    return [
        f"{name} {found.get(name, 'unknown')} instead of {value}"
        for name, value in wanted.items()
        if found.get(name) != value
    ]


def check(text: str | None = None) -> None:
    """Compare this process's environment with the one that the submitter named.

    Args:
        text: what the submitter named, JSON; default: the environment variable. None and empty: nothing was named.

    Raises:
        ClusterError: they differ; names each difference and the remedy.
    """
    text = os.environ.get(VARIABLE) if text is None else text
    if not text:
        return
    found = differences(json.loads(text), environment())
    if found:
        raise ClusterError(
            f"{platform.node()} has another environment than the submitter: {', '.join(found)}. Install the "
            "submitter's versions there (pip install -c constraints.txt), or submit with --environment pip, which "
            "does so for the job alone, or with --environment any, which accepts that numbers may differ"
        )


def pip_packages() -> list[str]:
    """Return the exact requirements of raysweep's installed dependencies, as `runtime_env` takes them; not of Ray.

    Ray itself has to be there already, in the submitter's version.
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
                continue  # of another platform
            todo.append(child)
    return [f"{name}=={version}" for name, version in sorted(wanted.items())]


def _needed(requirement: str) -> str | None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    parsed = Requirement(requirement)
    if parsed.marker is not None and not parsed.marker.evaluate({"extra": ""}):
        return None
    return canonicalize_name(parsed.name)
