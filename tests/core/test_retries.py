"""A storage that is away is waited for; one that refuses is not."""

import logging

import pytest
from pyarrow import fs

from raysweep.core.errors import StorageError
from raysweep.core.io import retries as patience
from raysweep.core.io.retries import lose_patience, patiently

AWAY = "When reading key 'a' in bucket 'b': AWS Error NETWORK_CONNECTION during GetObject: curlCode: 7, refused"
REMOTE = fs._MockFileSystem()


class Away:
    """An action that fails so many times."""

    def __init__(self, times: int, message: str = AWAY) -> None:
        self.left, self.message, self.tries = times, message, 0

    def __call__(self) -> str:
        self.tries += 1
        if self.left:
            self.left -= 1
            raise OSError(self.message)
        return "answer"


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(patience, "_LONGEST_PAUSE_S", 0.01)
    monkeypatch.setattr(patience, "_away", [False])


def test_storage_that_is_away_is_asked_until_it_answers_and_that_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="raysweep.storage"):
        assert patiently(REMOTE, "b/a", Away(5)) == "answer"
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "storage b does not answer" in told[0]
    assert "storage b answers again" in told[1]


@pytest.mark.parametrize("status", ["HTTP response code 503", "AWS Error SLOW_DOWN", "AWS Error SERVICE_UNAVAILABLE"])
def test_server_that_says_it_cannot_now_is_waited_for(status: str) -> None:
    assert patiently(REMOTE, "a", Away(1, status)) == "answer"


@pytest.mark.parametrize("refusal", ["AWS Error ACCESS_DENIED during PutObject", "AWS Error NO_SUCH_BUCKET"])
def test_refusal_is_told_at_once(refusal: str) -> None:
    action = Away(9, refusal)
    with pytest.raises(OSError, match=refusal):
        patiently(REMOTE, "a", action)
    assert action.tries == 1


def test_patience_has_an_end_and_none_is_left_once_the_sweep_was_told_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.05)
    with pytest.raises(StorageError, match=r"its storage did not answer for 0 s: .*curlCode: 7"):
        patiently(REMOTE, "a", Away(10**6))
    lose_patience()
    action = Away(10**6)
    with pytest.raises(StorageError):
        patiently(REMOTE, "a", action)
    lose_patience(False)
    assert action.tries == 1
