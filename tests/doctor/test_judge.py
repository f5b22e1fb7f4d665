"""Facts become findings: one for each fault, none for a sound machine."""

import dataclasses
from pathlib import Path

import pytest

from raysweep.doctor import judge
from raysweep.doctor.facts import Facts, Gpu, gather, unmet_requirements

SOUND = Facts(
    host="a", time=1000.0, environment={"torch": "2.13.0"}, unmet=(), torch_build="cu130",
    gpus=(Gpu("H100", "570.1", 81559),), gpu_trouble=None, ray_root="/tmp/ray", disk_total=10**12, disk_free=10**11 * 6,
    free_inodes=(("/tmp/ray", 10**6),), temp_root="/tmp", temp_free=10**11,
    shm_total=2**33, open_files=65536, stale_sessions=(("/tmp/ray/session_x", 10**6),), orphans=(),
)  # fmt: skip


def test_a_sound_machine_has_no_findings() -> None:
    assert list(judge.of_machine(SOUND, "a")) == []
    assert list(judge.of_clock(SOUND, "a", (999.0, 1001.0))) == []


@pytest.mark.parametrize(
    ("change", "check", "text", "remedy"),
    [
        ({"unmet": ("torch 2.1 is installed, torch==2.13.0 is needed",)}, "versions", "torch 2.1", "pip install"),
        ({"gpu_trouble": "Driver/library version mismatch"}, "gpu", "cannot be used: Driver/lib", "NVIDIA's driver"),
        ({"torch_build": "cpu"}, "gpu", "1 GPUs, but torch is a CPU-only build", "CUDA build"),
        ({"disk_free": 10**10}, "disk", "99% full, 9.3 GiB are free", "--temp-dir"),
        ({"disk_total": 10**9, "disk_free": 10**9}, "disk", "0% full, 0.9 GiB", "free some space"),
        (
            {"free_inodes": (("/tmp/ray", 10**6), ("/var/tmp", 12))},
            "disk",
            "/var/tmp has room for 12 more files",
            "df -i",
        ),
        ({"temp_free": 2**20}, "disk", "/tmp has 1 MiB left", "TMPDIR"),
        ({"shm_total": 64 * 2**20}, "shm", "/dev/shm has 64 MiB", "--shm-size"),
        ({"open_files": 256}, "limits", "256 files", "ulimit -n"),
        ({"stale_sessions": (("/r/s1", 2**30), ("/r/s2", 2**31))}, "sessions", "take up 3.0 GiB", "rm -r /r/s2 /r/s1"),
        ({"orphans": ((4711, "/r/s3"),)}, "sessions", "process 4711 is left", "kill 4711"),
    ],
)
def test_each_fault_of_a_machine_is_named(change: dict[str, object], check: str, text: str, remedy: str) -> None:
    (found,) = judge.of_machine(dataclasses.replace(SOUND, **change), "b")  # type: ignore[arg-type]
    assert (found.check, found.where) == (check, "b")
    assert text in found.text
    assert remedy in found.remedy


@pytest.mark.parametrize(("now", "word"), [(1060.0, "slow"), (900.0, "fast")])
def test_a_clock_that_is_off_is_named_with_its_direction(now: float, word: str) -> None:
    (found,) = judge.of_clock(SOUND, "b", (now, now + 2))
    assert word in found.text
    assert "NTP" in found.remedy


def test_drivers_of_gpus_that_differ_are_a_warning() -> None:
    other = (Gpu("H100", "560.2", 81559),)
    (found,) = judge.of_drivers({"a": SOUND.gpus, "b": other, "c": ()})
    assert found.severity == "warning"
    assert "570.1 on a; 560.2 on b" in found.text
    assert list(judge.of_drivers({"a": SOUND.gpus, "b": SOUND.gpus})) == []


def test_a_token_that_others_may_read_or_that_is_not_there_is_named(tmp_path: Path) -> None:
    token = tmp_path / ".ray" / "auth_token"
    assert list(judge.of_token(token, named=False)) == []
    token.parent.mkdir()
    token.write_text("secret")
    token.chmod(0o600)
    assert list(judge.of_token(token, named=False)) == []
    token.chmod(0o640)
    (found,) = judge.of_token(token, named=False)
    assert found.remedy == f"chmod 600 {token}"
    (found,) = judge.of_token(tmp_path / "none", named=True)
    assert "does not exist" in found.text
    assert list(judge.of_token(None, named=False)) == []


def test_this_machine_tells_its_facts_and_meets_its_requirements(tmp_path: Path) -> None:
    old = tmp_path / "session_2020-01-01_00-00-00_000000_1"
    old.mkdir()
    (old / "log").write_bytes(b"x" * 10_000)
    facts = gather(str(tmp_path))
    assert facts.unmet == ()
    assert facts.stale_sessions[0][0] == str(old)
    assert facts.stale_sessions[0][1] >= 10_000
    assert facts.disk_total > facts.disk_free > 0
    assert "torch" in facts.environment


def test_requirements_that_are_not_met_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    monkeypatch.setattr(metadata, "requires", lambda name: ["numpy<1", "no-such-package>=2", "pytest>=8; extra == 'x'"])
    first, second = unmet_requirements()
    assert first.startswith("numpy 2")
    assert "numpy<1 is needed" in first
    assert second == "no-such-package is not installed, no-such-package>=2 is needed"
