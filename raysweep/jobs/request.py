"""A sweep to submit: its command, its package, and the identity by which its jobs are found again."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import raysweep
from raysweep.core.errors import ClusterError
from raysweep.core.hashing import digest
from raysweep.core.masking import masked
from raysweep.jobs.package import LIMIT_MIB, Package, pack
from raysweep.sweep.cluster.environment import ANY, VARIABLE, environment, pip_packages
from raysweep.sweep.space.space import Space

Environment = Literal["cluster", "pip", "any"]
_MODULE = "raysweep.jobs.entry"
STOP_SECONDS = 20
"""Time between SIGTERM and SIGKILL when a job is stopped; a sweep ends within ten seconds. Ray's default is 3."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A sweep to submit, as the command line gave it."""

    space: Space
    path: Path
    """The search space's file."""
    overrides: tuple[str, ...] = ()
    job: str = "run"
    """The command that the job is: run, choose or forecast."""
    options: tuple[str, ...] = ()
    """Options and further arguments of that command, such as `--adaptive`."""
    folder: Path
    """The job's working directory."""
    environment: Environment = "cluster"
    limit_mib: float = LIMIT_MIB

    @property
    def sweep_id(self) -> str:
        """The identity of the sweep, by its name and storage alone, so that submitting it again finds its jobs."""
        content = f"{self.space.name}\0{self.space.storage.rstrip('/')}"
        return f"raysweep-{self.space.name}-{digest(content.encode())[:10]}"

    @property
    def space_name(self) -> str:
        """Path of the search space's file inside the job.

        Raises:
            ClusterError: the file is not in the folder that is packed.
        """
        try:
            return self.path.resolve().relative_to(self.folder.resolve()).as_posix()
        except ValueError:
            raise ClusterError(
                f"{self.path} is not in {self.folder}, the folder that is packed for the job: submit from one that "
                "contains it"
            ) from None

    def command(self, name: str, options: Sequence[str] = ()) -> str:
        """Build the shell command of a job; `exec` lets signals reach the sweep instead of a shell.

        Raises:
            ClusterError: it contains a password.
        """
        for word in (*self.overrides, *options):
            if masked(word) != word:
                raise ClusterError(
                    f"{word}: a job's command is visible to all users of the cluster, and this one contains a "
                    "password; write it into the search space's file, or set MLFLOW_TRACKING_USERNAME and "
                    "MLFLOW_TRACKING_PASSWORD (AWS_SECRET_ACCESS_KEY, ...) on the cluster"
                )
        return shell_command(name, self.space_name, *self.overrides, *options)

    def pack(self, target: Path) -> Package:
        """Write the package of the job.

        Raises:
            ClusterError: the search space's file is excluded from the package.
            RaysweepError: the package is too large.
        """
        source = [Path(raysweep.__file__).parent] if self.environment == "pip" else []
        package = pack(self.folder, target, limit_mib=self.limit_mib, modules=source)
        if self.space_name not in package.names:
            raise ClusterError(
                f"{self.path} is excluded from the package by a .gitignore or its folder's name: move it"
            )
        return package

    def runtime_env(self, package: Package, *, checked: bool = True) -> dict[str, object]:
        """Build the runtime environment that Ray prepares for the job on every node.

        Args:
            package: its working directory.
            checked: whether the job compares its environment with this one before it runs.
        """
        variables = variables_of_job(checked=checked and self.environment != "any")
        found: dict[str, object] = {"working_dir": str(package.path), "env_vars": variables}
        if self.environment == "pip":
            found["pip"] = {"packages": pip_packages(), "pip_check": False}
        return found


def shell_command(*words: str) -> str:
    """Build the shell command that runs raysweep with these arguments in a job."""
    return f"exec {shlex.join(['python', '-m', _MODULE, *words])}"


def command_of(entrypoint: str) -> str | None:
    """Read the command of raysweep out of a job's shell command; None where it is another one's."""
    words = shlex.split(entrypoint)
    place = words.index(_MODULE) + 1 if _MODULE in words else len(words)
    return words[place] if place < len(words) else None


def variables_of_job(*, checked: bool) -> dict[str, str]:
    """Build the environment variables of a job; `checked`: they include this environment, for comparison."""
    found = {"PYTHONUNBUFFERED": "1", "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)}
    return {**found, VARIABLE: json.dumps(environment()) if checked else ANY}


def check_reachable(space: Space) -> None:
    """Refuse locations that exist only on this machine.

    Raises:
        SpaceError: storage, structure store or tracking is a relative path, which on a cluster is in the scratch folder
            of one job, and is deleted with it.
    """
    places: list[tuple[tuple[str, ...], str]] = [(("storage",), space.storage)]
    if space.data is not None:
        places.append((("data", "store"), space.data.store))
    for key, place in places:
        if "://" not in place and not place.startswith("/"):
            raise space.error(
                key,
                f"{place!r} is relative, and would be in the scratch folder of the job; give a path that every node "
                f"shares, or a URI (s3://, gs://), here or as {'.'.join(key)}=... on the command line",
            )
    uri = space.tracking.uri or ""
    if uri.startswith("sqlite:///") and not uri.startswith("sqlite:////"):
        raise space.error(("tracking", "uri"), f"{uri!r} is relative: give sqlite:////absolute/path, or a server")
    if uri and "://" not in uri and not uri.startswith("/"):
        raise space.error(("tracking", "uri"), f"{uri!r} is relative: give the address of a server")
