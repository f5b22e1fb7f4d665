"""The sessions of Ray that are in use are found by the processes of their services."""

import subprocess
import sys
from pathlib import Path

import pytest

from raysweep.doctor import facts

NAP = "import sys, time; sys.stdout.write('up'); sys.stdout.flush(); time.sleep(60)"


def test_a_session_is_in_use_while_a_process_names_it(tmp_path: Path) -> None:
    session = f"{tmp_path}/session_2026-01-02_03-04-05_678901_42"
    process = subprocess.Popen(
        ["/opt/ray/gcs_server", "-c", NAP, f"--log_dir={session}/logs"],
        executable=sys.executable,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.read(2) == b"up"
        assert facts._sessions_in_use()[session] == {"gcs_server": process.pid}
        assert 0 <= facts._age(process.pid) < 60
    finally:
        process.kill()
        process.communicate()
    assert session not in facts._sessions_in_use()
    assert facts._age(process.pid) == 0.0


def test_a_head_without_a_raylet_is_an_orphan_once_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    used = {"/a/session_1": {"gcs_server": 7}, "/a/session_2": {"gcs_server": 8, "raylet": 9}, "/a/session_3": {}}
    monkeypatch.setattr(facts, "_age", lambda pid: 61.0)
    assert list(facts._orphans(used)) == [(7, "/a/session_1")]
    monkeypatch.setattr(facts, "_age", lambda pid: 59.0)
    assert list(facts._orphans(used)) == []
