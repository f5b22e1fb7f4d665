"""A job is followed to its end over connections that fall silent; nobody waits for ever for one that is not started."""

import asyncio
import dataclasses
import itertools
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace

import pytest

from raysweep.core.errors import ClusterError
from raysweep.jobs import query, submit
from raysweep.jobs.query import ask
from raysweep.jobs.submit import Job, follow


def job(state: str = "RUNNING", exit_code: int | None = None) -> Job:
    return Job(job_id="raysweep-toy-1", attempt=1, state=state, exit_code=exit_code, message="", started=None)


class Silent:
    """A client whose connection to the log says a part of it and then nothing, as where a cable was pulled."""

    _address = "http://head:8265"

    def __init__(self, states: Iterator[tuple[str, int | None]]) -> None:
        self.states, self.tails = states, 0

    async def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
        self.tails += 1
        for line in ("one\n", "two\n", "three\n")[: self.tails]:
            yield line
        await asyncio.sleep(3600)

    def get_job_info(self, job_id: str) -> SimpleNamespace:
        state, code = next(self.states)
        return SimpleNamespace(
            submission_id=job_id,
            status=state,
            driver_exit_code=code,
            message="waits for the raylet",
            start_time=None,
            entrypoint="exec python -m raysweep.jobs.entry run toy.yaml",
        )

    def get_job_logs(self, job_id: str) -> str:
        return "one\ntwo\nthree\n"

    def submit_job(self, **_: object) -> None:
        pass


def test_a_log_that_falls_silent_is_read_anew_and_nothing_is_written_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(submit, "POLL_SECONDS", 0.0)
    client, written = Silent(iter([("RUNNING", None), ("SUCCEEDED", 0)])), []
    ended = follow(lambda: client, job(), written.append, lambda _: None)  # type: ignore[arg-type, return-value]
    assert ended is not None
    assert ended.exit_status == 0
    assert client.tails == 2
    assert "".join(written) == "one\ntwo\nthree\n"


def test_a_job_that_is_not_started_for_long_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "SILENT_SECONDS", 0.05)
    monkeypatch.setattr(submit, "POLL_SECONDS", 0.0)
    states = itertools.chain([("PENDING", None)] * 4, [("SUCCEEDED", 0)])
    said: list[str] = []
    follow(lambda: Silent(states), job(), lambda _: None, said.append)  # type: ignore[arg-type, return-value]
    assert said == ["job raysweep-toy-1 has not been started for 0 s: waits for the raylet"]


def test_a_question_that_no_job_is_started_for_ends_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "WAITING_SECONDS", 0.1)
    monkeypatch.setattr(query, "POLL_SECONDS", 0.02)
    client = Silent(itertools.repeat(("PENDING", None)))
    with pytest.raises(ClusterError, match=r"not started the query job .*\(waits for the raylet\): is Ray on the head"):
        ask(client, "raysweep status", {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "code", "died"),
    [
        ("FAILED", 75, True),  # its Ray died
        ("FAILED", -9, True),
        ("FAILED", 137, True),
        ("FAILED", None, True),
        ("FAILED", 1, False),
        ("FAILED", 130, False),
        ("FAILED", 143, False),
        ("STOPPED", 143, False),
        ("SUCCEEDED", 0, False),
    ],
)
def test_a_job_whose_driver_or_ray_died_is_followed_by_another(state: str, code: int | None, died: bool) -> None:
    assert job(state, code).died == died


class Late(Silent):
    """A head whose logs follow the end of a job."""

    late = 3

    def get_job_logs(self, job_id: str) -> str:
        self.late -= 1
        return "" if self.late > 0 else f"raysweep job: raysweep 0.1 on head\n{super().get_job_logs(job_id)}\n"

    def delete_job(self, job_id: str) -> None:
        """Forget it."""


def test_the_output_of_a_question_is_waited_for_where_it_follows_the_end_of_its_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(query, "POLL_SECONDS", 0.01)
    code, logs = ask(Late(iter([("SUCCEEDED", 0)])), "raysweep status", {})  # type: ignore[arg-type]
    assert code == 0
    assert logs.startswith("raysweep job: ")
    never = Late(iter([("SUCCEEDED", 0)]))
    never.late = 1000
    monkeypatch.setattr(query, "LOGS_SECONDS", 0.1)
    with pytest.raises(ClusterError, match="no output of the query job"):
        ask(never, "raysweep status", {})  # type: ignore[arg-type]


def test_a_job_that_runs_another_command_on_the_sweep_is_not_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    running = dataclasses.replace(job(), command="run")
    monkeypatch.setattr("raysweep.jobs.submit.jobs_of", lambda *_: [running])
    said: list[str] = []
    assert submit.submit(None, SimpleNamespace(job="run"), said.append) == running  # type: ignore[arg-type]
    assert "joined job raysweep-toy-1" in said[0]
    with pytest.raises(ClusterError, match="has this sweep's storage for `raysweep run`, not choose: wait"):
        submit.submit(None, SimpleNamespace(job="choose"), said.append)  # type: ignore[arg-type]
