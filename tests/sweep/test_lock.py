"""One driver at a time, and none that is dead stands in the way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from raysweep.errors import RaysweepError
from raysweep.sweep.lock import FILE, driver_lock


def test_lock_is_gone_after_the_block_also_after_an_error(tmp_path: Path) -> None:
    with driver_lock(str(tmp_path)) as note:
        assert note is None
        assert json.loads((tmp_path / FILE).read_text())["pid"] == os.getpid()
    assert not (tmp_path / FILE).exists()
    with pytest.raises(ValueError, match="boom"), driver_lock(str(tmp_path)):
        raise ValueError("boom")
    assert not (tmp_path / FILE).exists()


def test_second_driver_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    refused = pytest.raises(RaysweepError, match=f"process {os.getpid()} on .* runs this sweep")
    with driver_lock(str(tmp_path)), refused, driver_lock(str(tmp_path)):
        pytest.fail("two drivers")


@pytest.mark.parametrize("change", [{}, {"pid_started": "1"}, {"boot": "another"}])
def test_lock_of_a_dead_driver_is_taken_over(tmp_path: Path, change: dict[str, str]) -> None:
    with driver_lock(str(tmp_path)):
        held = json.loads((tmp_path / FILE).read_text())
    if not change:
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        change = {"pid": gone.pid}  # type: ignore[dict-item]
    (tmp_path / FILE).write_text(json.dumps(held | change))  # pid used again by another process, or an earlier boot
    with driver_lock(str(tmp_path)) as note:
        assert note is not None
        assert "is dead" in note


def test_lock_of_another_host_is_not_guessed_about(tmp_path: Path) -> None:
    with driver_lock(str(tmp_path)):
        held = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps(held | {"host": "elsewhere"}))
    with pytest.raises(RaysweepError, match=rf"delete .*{FILE} and run again"), driver_lock(str(tmp_path)):
        pytest.fail("not refused")


def test_torn_lock_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"pid": ')
    with driver_lock(str(tmp_path)) as note:
        assert note is None
