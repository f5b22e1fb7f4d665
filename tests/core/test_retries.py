"""A storage that is away is waited for; one that refuses is not."""

import logging

import pytest
from pyarrow import fs

from raysweep.core.errors import StorageError
from raysweep.core.io import retries
from raysweep.core.io.retries import cancel_retries, wait_until, with_retries

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
    monkeypatch.setattr(retries, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(retries, "_LONGEST_PAUSE_S", 0.01)
    monkeypatch.setattr(retries, "_outage", [False])


def test_storage_that_is_away_is_asked_until_it_answers_and_that_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="raysweep.storage"):
        assert with_retries(REMOTE, "b/a", Away(5)) == "answer"
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "storage b does not answer" in told[0]
    assert "storage b answers again" in told[1]


@pytest.mark.parametrize("status", ["HTTP response code 503", "AWS Error SLOW_DOWN", "AWS Error SERVICE_UNAVAILABLE"])
def test_server_that_says_it_cannot_now_is_waited_for(status: str) -> None:
    assert with_retries(REMOTE, "a", Away(1, status)) == "answer"


@pytest.mark.parametrize("refusal", ["AWS Error ACCESS_DENIED during PutObject", "AWS Error NO_SUCH_BUCKET"])
def test_refusal_is_told_at_once(refusal: str) -> None:
    action = Away(9, refusal)
    with pytest.raises(OSError, match=refusal):
        with_retries(REMOTE, "a", action)
    assert action.tries == 1


def test_retries_end_after_a_while_and_at_once_when_the_sweep_is_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "RETRY_SECONDS", 0.05)
    with pytest.raises(StorageError, match=r"its storage did not answer for 0 s: .*curlCode: 7"):
        with_retries(REMOTE, "a", Away(10**6))
    cancel_retries()
    action = Away(10**6)
    with pytest.raises(StorageError):
        with_retries(REMOTE, "a", action)
    cancel_retries(False)
    assert action.tries == 1


def test_pauses_double_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(retries, "_FIRST_PAUSE_S", 0.5)
    monkeypatch.setattr(retries, "_LONGEST_PAUSE_S", 5.0)
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    with_retries(REMOTE, "a", Away(6))
    assert pauses == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_condition_is_polled_until_it_holds_or_the_time_is_over() -> None:
    answers = iter([False, False, True])
    assert wait_until(lambda: next(answers), seconds=10.0, pause=0.001)
    assert not wait_until(lambda: False, seconds=0.02, pause=0.005)


def test_an_interrupt_ends_a_wait_at_once() -> None:
    def interrupted() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wait_until(interrupted, seconds=10.0, pause=0.001)
