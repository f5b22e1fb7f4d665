"""A local Ray that a busy machine starts too slowly is started again; one that cannot start is not."""

import pytest

from raysweep.core.errors import ClusterError
from raysweep.sweep.cluster import join


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each start of a Ray that fails twice."""
    tried: list[str] = []

    def fail_twice(address: str) -> None:
        tried.append(address)
        if len(tried) < 3:
            raise Exception("The current node timed out during startup.\nSee the logs")

    monkeypatch.setattr(join, "_initialize", fail_twice)
    return tried


def test_a_start_that_ran_into_a_time_limit_is_tried_again(
    starts: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(join, "TIMED_OUT_SECONDS", 0.0)
    with caplog.at_level("WARNING", "raysweep.cluster"):
        join._join("local")
    assert starts == ["local"] * 3
    assert (
        caplog.messages
        == ["Ray did not start in time (The current node timed out during startup.); starting it again"] * 2
    )


def test_no_more_than_a_few_times(starts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(join, "TIMED_OUT_SECONDS", 0.0)
    monkeypatch.setattr(join, "ATTEMPTS", 2)
    with pytest.raises(ClusterError, match=r"Ray cannot start here: The current node timed out during startup\."):
        join._join("local")
    assert len(starts) == 2


def test_a_start_that_fails_at_once_would_fail_again(starts: list[str]) -> None:
    with pytest.raises(ClusterError, match="Ray cannot start here"):
        join._join("local")
    assert len(starts) == 1


def test_a_cluster_at_an_address_is_asked_once(starts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(join, "TIMED_OUT_SECONDS", 0.0)
    with pytest.raises(ClusterError, match="no Ray cluster at 'auto'"):
        join._join("auto")
    assert len(starts) == 1
