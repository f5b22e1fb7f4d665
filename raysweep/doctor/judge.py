"""Judge the facts about machines: findings, each with its remedy."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from raysweep.doctor.facts import Facts, Gpu
from raysweep.doctor.findings import HealthFinding
from raysweep.sweep.cluster.environment import SAME_VERSIONS

GIB = 2**30
LEAST_SHM = 512 * 2**20
"""Docker's default is 64 MiB."""
FULLEST_DISK = 0.95
"""Ray creates no objects on a fuller disk (RAY_local_fs_capacity_threshold)."""
LEAST_DISK = 2 * GIB
LEAST_INODES = 10_000
"""A sweep creates some ten files per trial, and Ray hundreds."""
LEAST_TEMP = GIB // 4
LEAST_FILES = 1024
CLOCK_SECONDS = 5.0
STALE_BYTES = GIB // 4
"""Each `ray start` leaves about a megabyte of logs behind, which is no fault."""


def of_machine(facts: Facts, where: str) -> Iterator[HealthFinding]:
    """Yield the findings about one machine."""
    for text in facts.unmet:
        remedy = "pip install -c constraints.txt raysweep, in the environment that Ray runs in"
        yield HealthFinding(check="versions", where=where, text=text, remedy=remedy)
    yield from _gpu(facts, where)
    yield from _disk(facts, where)
    if facts.shm_total < LEAST_SHM:
        yield HealthFinding(
            check="shm", where=where,
            text=f"/dev/shm has {facts.shm_total / 2**20:.0f} MiB, so Ray keeps objects on disk",
            remedy="docker run --shm-size=2g, or an emptyDir with medium: Memory at /dev/shm",
        )  # fmt: skip
    if facts.open_files < LEAST_FILES:
        yield HealthFinding(
            check="limits", where=where, text=f"a process may open {facts.open_files} files, but Ray needs more",
            remedy="ulimit -n 65536 before ray start (LimitNOFILE, /etc/security/limits.conf)",
        )  # fmt: skip
    yield from _sessions(facts, where)


def _gpu(facts: Facts, where: str) -> Iterator[HealthFinding]:
    if facts.gpu_trouble is not None:
        yield HealthFinding(
            check="gpu", where=where, text=f"there are GPUs, but they cannot be used: {facts.gpu_trouble}",
            remedy="install NVIDIA's driver, and its container toolkit where Ray runs in a container",
        )  # fmt: skip
    if facts.gpus and facts.torch_build == "cpu":
        yield HealthFinding(
            check="gpu", where=where, text=f"there are {len(facts.gpus)} GPUs, but torch is a CPU-only build",
            remedy="install the CUDA build of the same torch version",
        )  # fmt: skip


def _disk(facts: Facts, where: str) -> Iterator[HealthFinding]:
    full = 1 - facts.disk_free / facts.disk_total
    if full >= FULLEST_DISK or facts.disk_free < LEAST_DISK:
        yield HealthFinding(
            check="disk", where=where,
            text=f"the disk of {facts.ray_root} is {full:.0%} full, {facts.disk_free / GIB:.1f} GiB are free",
            remedy="free some space, or start Ray with --temp-dir on a larger disk; Ray stops at 95 %",
        )  # fmt: skip
    for place, free in facts.free_inodes:
        if free < LEAST_INODES:
            yield HealthFinding(
                check="disk", where=where, text=f"the disk of {place} has room for {free} more files (inodes)",
                remedy="delete small files there (df -i shows how many there are), or use another disk",
            )  # fmt: skip
    if facts.temp_free < LEAST_TEMP:
        yield HealthFinding(
            check="disk", where=where, text=f"{facts.temp_root} has {facts.temp_free / 2**20:.0f} MiB left",
            remedy="free some space there, or export TMPDIR=, a folder on a larger disk",
        )  # fmt: skip


def _sessions(facts: Facts, where: str) -> Iterator[HealthFinding]:
    size = sum(count for _, count in facts.stale_sessions)
    if size >= STALE_BYTES:
        largest = [path for path, _ in sorted(facts.stale_sessions, key=lambda item: -item[1])]
        yield HealthFinding(
            check="sessions", where=where, severity="warning",
            text=f"unused Ray sessions ({len(largest)}) take up {size / GIB:.1f} GiB in {facts.ray_root}",
            remedy=f"rm -r {' '.join(largest[:3])}" + (" and the others" if len(largest) > 3 else ""),
        )  # fmt: skip
    for pid, session in facts.orphans:
        yield HealthFinding(
            check="sessions", where=where, text=f"process {pid} is left from a head that did not start ({session})",
            remedy=f"kill {pid}; it holds the port of the next head",
        )  # fmt: skip


def of_clock(facts: Facts, where: str, asked: tuple[float, float]) -> Iterator[HealthFinding]:
    """Yield a finding if a clock is off; `asked`: our times of the request and of the answer."""
    early, late = asked[0] - facts.time, facts.time - asked[1]
    off = max(early, late)
    if off > CLOCK_SECONDS:
        yield HealthFinding(
            check="clock", where=where, text=f"its clock is {off:.0f} s {'slow' if early > late else 'fast'}",
            remedy="synchronise clocks with NTP (chronyd, systemd-timesyncd): object stores reject a wrong time",
        )  # fmt: skip


def of_drivers(gpus: Mapping[str, tuple[Gpu, ...]]) -> Iterator[HealthFinding]:
    """Yield a finding if nodes have different GPU drivers."""
    drivers: dict[str, list[str]] = {}
    for where, found in gpus.items():
        for driver in sorted({gpu.driver for gpu in found}):
            drivers.setdefault(driver, []).append(where)
    if len(drivers) > 1:
        text = "; ".join(f"{driver} on {', '.join(places)}" for driver, places in drivers.items())
        yield HealthFinding(
            check="gpu", where="cluster", severity="warning", text=f"GPU drivers differ: {text}",
            remedy="install one driver everywhere",
        )  # fmt: skip


def of_start(troubles: Iterable[tuple[str, str]], where: str, *, keeps_token: bool) -> Iterator[HealthFinding]:
    """Yield the faults that keep Ray from starting on a machine.

    Args:
        troubles: see `raysweep.sweep.cluster.ray.home.troubles`.
        where: the machine.
        keeps_token: whether there is a token, or a home in which one can be kept.
    """
    for text, remedy in troubles:
        yield HealthFinding(check="start", where=where, text=text, remedy=remedy)
    if not keeps_token:
        yield HealthFinding(
            check="token", where=where, severity="warning",
            text="the home directory is not writable, so each run generates a token that no other process knows",
            remedy="set HOME to a folder of your own, or set RAY_AUTH_TOKEN if `ray` commands need to reach it",
        )  # fmt: skip


def of_token(path: Path | None, *, named: bool) -> Iterator[HealthFinding]:
    """Yield the findings about this user's token.

    Args:
        path: of its file; None for a user without a home.
        named: whether RAY_AUTH_TOKEN_PATH names it.
    """
    if path is None:
        return
    there = os.access(path, os.F_OK)
    if named and not there:
        yield HealthFinding(
            check="token", where="here", text=f"RAY_AUTH_TOKEN_PATH names {path}, which does not exist",
            remedy="put the cluster's token there, or unset it",
        )  # fmt: skip
    elif there and path.stat().st_mode & 0o077:
        yield HealthFinding(
            check="token", where="here", text=f"others may read the cluster's token {path}", remedy=f"chmod 600 {path}"
        )


def other_versions(where: str, differences: list[str]) -> Iterator[HealthFinding]:
    """Yield a finding if a machine's versions differ from this one's."""
    if differences:
        text = f"has a different environment: {', '.join(differences)}"
        yield HealthFinding(check="versions", where=where, text=text, remedy=SAME_VERSIONS)
