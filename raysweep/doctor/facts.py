"""Facts about a machine, gathered on every node and judged elsewhere; neither torch nor Ray is imported."""

import os
import platform
import re
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil

from raysweep.core.io.files import nearest
from raysweep.sweep.cluster.environment import environment
from raysweep.sweep.cluster.ray.home import ray_root
from raysweep.sweep.cluster.ray.internals import session_folder

_SESSION = re.compile(r"[^\s=\0]*/session_\d{4}-[\w.-]+")
_KINDS = ("gcs_server", "raylet")


@dataclass(frozen=True)
class Gpu:
    """A GPU, as its driver reports it."""

    name: str
    driver: str
    memory_mib: int


@dataclass(frozen=True)
class Facts:
    """The facts about one machine."""

    host: str
    time: float
    """Seconds since 1970 by the machine's clock."""
    environment: dict[str, str]
    unmet: tuple[str, ...]
    """Requirements of raysweep that its installed packages do not meet, in words."""
    torch_build: str
    """Local part of torch's version: `cpu`, `cu130`, or empty."""
    gpus: tuple[Gpu, ...]
    gpu_trouble: str | None
    """Why the GPUs of the machine cannot be queried."""
    ray_root: str
    """Folder that holds Ray's sessions."""
    disk_total: int
    """Bytes of the disk that holds it."""
    disk_free: int
    free_inodes: tuple[tuple[str, int], ...]
    """Free inodes on the disks of Ray's sessions and of temporary files, where the file system limits them."""
    temp_root: str
    """Folder of temporary files."""
    temp_free: int
    """Bytes."""
    shm_total: int
    """Bytes of /dev/shm; 0: there is none."""
    open_files: int
    """Limit of open files per process."""
    stale_sessions: tuple[tuple[str, int], ...]
    """Ray's sessions that no process uses, with their bytes."""
    orphans: tuple[tuple[int, str], ...]
    """Processes of Ray's head (GCS) whose session has no raylet, left by a head that did not start."""


def gather(sessions: str | None = None) -> Facts:
    """Gather the facts about this machine.

    Args:
        sessions: folder of Ray's sessions; default: that of the joined cluster, or Ray's own default.
    """
    root = sessions or _ray_root()
    disk = shutil.disk_usage(nearest(Path(root)))
    temp = tempfile.gettempdir()
    gpus, trouble = _gpus()
    used = _sessions_in_use()
    return Facts(
        host=platform.node(),
        time=time.time(),
        environment=environment(),
        unmet=tuple(unmet_requirements()),
        torch_build=_torch_build(),
        gpus=gpus,
        gpu_trouble=trouble,
        ray_root=root,
        disk_total=disk.total,
        disk_free=disk.free,
        free_inodes=tuple((place, free) for place in dict.fromkeys((root, temp)) for free in free_inodes(place)),
        temp_root=temp,
        temp_free=shutil.disk_usage(temp).free,
        shm_total=shutil.disk_usage("/dev/shm").total if Path("/dev/shm").is_dir() else 0,
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        stale_sessions=tuple(_stale(Path(root), set(used))),
        orphans=tuple(_orphans(used)),
    )


def _ray_root() -> str:
    session = session_folder()
    return str(ray_root() if session is None else session.parent)


def free_inodes(place: str) -> Iterator[int]:
    """Yield the number of free inodes on the disk of a folder; nothing where its file system has no limit."""
    status = os.statvfs(nearest(Path(place)))
    if status.f_files:
        yield status.f_favail


def unmet_requirements(distribution: str = "raysweep") -> Iterator[str]:
    """Describe each requirement of a distribution that the installed packages do not meet."""
    from packaging.requirements import Requirement

    for text in metadata.requires(distribution) or ():
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            found = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            yield f"{wanted.name} is not installed, {wanted.name}{wanted.specifier} is needed"
            continue
        if not wanted.specifier.contains(found.partition("+")[0], prereleases=True):
            yield f"{wanted.name} {found} is installed, {wanted.name}{wanted.specifier} is needed"


def _torch_build() -> str:
    try:
        return metadata.version("torch").partition("+")[2]
    except metadata.PackageNotFoundError:
        return ""


def _gpus() -> tuple[tuple[Gpu, ...], str | None]:
    there = any(Path("/dev").glob("nvidia[0-9]*"))
    command = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        return (), "there is no nvidia-smi" if there else None
    except (OSError, subprocess.TimeoutExpired) as error:
        return (), f"nvidia-smi does not answer ({type(error).__name__})" if there else None
    if done.returncode != 0:
        return (), (done.stdout + done.stderr).strip().splitlines()[0][:200] if there else None
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines() if line.strip()]
    return tuple(Gpu(name, driver, int(float(memory))) for name, driver, memory in rows), None


def _sessions_in_use() -> dict[str, dict[str, int]]:
    """Find the process ids of the services of each Ray session, by the session's folder and the service's name."""
    found: dict[str, dict[str, int]] = {}
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []  # none: it has ended, or is another user's
        for session in {session for word in command for session in _SESSION.findall(word)}:
            kinds = found.setdefault(_top(session), {})
            name = command[0].rpartition("/")[2]
            if name in _KINDS:
                kinds[name] = process.pid
    return found


def _top(session: str) -> str:
    head, _, tail = session.partition("/session_")
    return f"{head}/session_{tail.partition('/')[0]}"


def _stale(root: Path, used: set[str]) -> Iterator[tuple[str, int]]:
    if not root.is_dir():
        return
    for folder in sorted(root.glob("session_*")):
        if not folder.is_symlink() and folder.is_dir() and str(folder) not in used:
            yield str(folder), sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


def _orphans(used: dict[str, dict[str, int]]) -> Iterator[tuple[int, str]]:
    for session, kinds in used.items():
        if "gcs_server" in kinds and "raylet" not in kinds and _age(kinds["gcs_server"]) > 60:
            yield kinds["gcs_server"], session


def _age(pid: int) -> float:
    try:
        return time.time() - float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0
