"""Submits a sweep as a Ray job once, follows it, finds it again, and ends it so that it resumes."""

import asyncio
import contextlib
import re
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raysweep.core.errors import TRY_AGAIN_STATUS, ClusterError
from raysweep.core.io.temporary import temporary_folder
from raysweep.jobs.client import Unreachable, errors_named
from raysweep.jobs.request import STOP_SECONDS, Request

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

Say = Callable[[str], object]
Connect = Callable[[], "JobSubmissionClient"]
RECONNECT_SECONDS = 300.0
"""How long a cluster that is followed may be out of reach, such as while its head node is replaced."""
RETRY_SECONDS = 5.0
TURN_SECONDS = 0.5
SILENT_SECONDS = 60.0
"""Without a word of a job, after which it is asked whether it still runs: a connection that was cut says nothing."""
WAITING_SECONDS = 90.0
"""How long the head node may take to start a job that answers a question; where Ray on it is dead, it never does."""
_STOPPED = (130, 143)
"""Exit statuses of a sweep that was told to end, or reached a cap."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job of a sweep, as the cluster tells of it."""

    job_id: str
    attempt: int
    """From 1; a job that died, or was stopped, is followed by another one."""
    state: str
    """PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED."""
    exit_code: int | None
    message: str
    started: float | None
    """Seconds since 1970."""

    @property
    def ended(self) -> bool:
        """Whether it will do no more."""
        return self.state in ("SUCCEEDED", "FAILED", "STOPPED")

    @property
    def died(self) -> bool:
        """Whether its driver or its node was lost, so that another job may do what is left."""
        if self.state != "FAILED":
            return False
        code = self.exit_code
        return code is None or code < 0 or code == TRY_AGAIN_STATUS or (code > 128 and code not in _STOPPED)

    @property
    def exit_status(self) -> int:
        """What a shell is told of it."""
        if self.state == "SUCCEEDED":
            return 0
        return 143 if self.state == "STOPPED" else self.exit_code or 1


def jobs_of(client: "JobSubmissionClient", request: Request) -> list[Job]:
    """Return all jobs of a sweep that the cluster remembers, the latest last."""
    pattern = re.compile(rf"{re.escape(request.sweep_id)}-(\d+)$")
    with errors_named(_url(client)):
        listed = client.list_jobs()
    found = [(pattern.match(details.submission_id or ""), details) for details in listed]
    return sorted((_job(details, int(match[1])) for match, details in found if match), key=lambda job: job.attempt)


def submit(client: "JobSubmissionClient", request: Request, say: Say) -> Job:
    """Submit a sweep, or join the job that runs it already.

    Raises:
        ClusterError: the cluster refuses it.
    """
    before = jobs_of(client, request)
    if before and not before[-1].ended:
        say(f"joined job {before[-1].job_id}, which runs this sweep already ({before[-1].state.lower()})")
        return before[-1]
    attempt = before[-1].attempt + 1 if before else 1
    job_id = f"{request.sweep_id}-{attempt}"
    with packed(request, say) as environment:
        command = request.command("run", request.options)
        try:
            _send(client, job_id, command, environment)
        except ClusterError as error:
            if "already exists" not in str(error):
                raise
            say(f"joined job {job_id}, which was submitted in the same moment")
        else:
            say(f"submitted job {job_id}")
    return Job(job_id=job_id, attempt=attempt, state="PENDING", exit_code=None, message="", started=None)


def follow(connect: Connect, job: Job, write: Say, say: Say, *, patience: float = RECONNECT_SECONDS) -> Job | None:
    """Write what a job prints until it ends; return how it ended, None where the cluster has forgotten it.

    A connection that is lost is made again; what was written is not written twice.

    Args:
        connect: makes a client.
        job: the job.
        write: takes text of the job as it comes, without line ends of its own.
        say: takes lines about the connection.
        patience: seconds without a connection, after which it is given up.

    Raises:
        Unreachable: the cluster was out of reach for so long.
    """
    log = _Log(write)
    lost: float | None = None
    waits = _Waits(say)
    while True:
        try:
            client = connect()
            log.tail(client, job.job_id)
            now = find(client, job)
            waits.look(now)
            if lost is not None:
                say("the cluster is reached again")
            lost = None
            if now is None or now.ended:
                if now is not None:
                    log.finish(client, job.job_id)
                return now
            time.sleep(TURN_SECONDS)
        except Unreachable as error:
            if lost is None:
                say(f"{error} Trying again for {patience:.0f} s")
            lost = lost or time.monotonic()
            if time.monotonic() - lost > patience:
                raise
            time.sleep(min(RETRY_SECONDS, patience))


def find(client: "JobSubmissionClient", job: Job) -> Job | None:
    """Return a job as it stands now, None where the cluster knows none of that name (its head node was replaced)."""
    try:
        with errors_named(_url(client)):
            return _job(client.get_job_info(job.job_id), job.attempt)
    except Unreachable:
        raise
    except ClusterError as error:
        if "404" in str(error):
            return None
        raise


def stop(client: "JobSubmissionClient", job: Job) -> float:
    """End a job as SIGTERM does, with everything saved; return the seconds that it took.

    Raises:
        ClusterError: it did not end.
    """
    began = time.monotonic()
    with errors_named(_url(client)):
        client.stop_job(job.job_id)
    while time.monotonic() - began < STOP_SECONDS + 30:
        now = find(client, job)
        if now is None or now.ended:
            return time.monotonic() - began
        time.sleep(TURN_SECONDS)
    raise ClusterError(f"job {job.job_id} was told to stop and has not; look at it in the dashboard ({_url(client)})")


def ask(client: "JobSubmissionClient", command: str, environment: dict[str, object]) -> tuple[int, str]:
    """Run a short command on the head node; return its exit status and all that it printed.

    Raises:
        ClusterError: it could not be run.
    """
    job_id = f"raysweep-ask-{uuid.uuid4().hex[:12]}"
    job = Job(job_id=job_id, attempt=1, state="PENDING", exit_code=None, message="", started=None)
    _send(client, job_id, command, environment)
    began = time.monotonic()
    while True:
        now = find(client, job)
        if now is None:
            raise ClusterError(f"{_url(client)} has lost the job that was to answer; ask again")
        if now.ended:
            break
        if now.state == "PENDING" and time.monotonic() - began > WAITING_SECONDS:
            raise ClusterError(
                f"{_url(client)} has not started the job that was to answer for {WAITING_SECONDS:.0f} s "
                f"({' '.join(now.message.split())[-300:]}): is Ray on the head node (its raylet) alive?"
            )
        time.sleep(TURN_SECONDS)
    with errors_named(_url(client)):
        logs = client.get_job_logs(job_id)
        client.delete_job(job_id)
    if now.exit_code is None:
        raise ClusterError(f"the cluster could not run it: {' '.join(now.message.split())[-600:]}")
    return now.exit_status, logs


@contextlib.contextmanager
def packed(request: Request, say: Say, *, checked: bool = True) -> Iterator[dict[str, object]]:
    """Give what Ray is to prepare for a job of a sweep; its package is there while the block runs."""
    with temporary_folder("package") as own:
        package = request.pack(own.path / "package.zip")
        say(f"package of {request.folder}: {package.text}")
        yield request.runtime_env(package, checked=checked)


def _send(client: "JobSubmissionClient", job_id: str, command: str, environment: dict[str, object]) -> None:
    with errors_named(_url(client)):
        client.submit_job(entrypoint=command, submission_id=job_id, runtime_env=environment)


class _Waits:
    """Reports once that a job has been pending for long."""

    def __init__(self, say: Say) -> None:
        self._say, self._since, self._said = say, time.monotonic(), False

    def look(self, job: Job | None) -> None:
        """Check the job's present state."""
        waits = job is not None and job.state == "PENDING"
        if waits and not self._said and time.monotonic() - self._since > SILENT_SECONDS:
            assert job is not None
            self._said = True
            self._say(f"job {job.job_id} has not been started for {SILENT_SECONDS:.0f} s: {job.message}")


class _Log:
    """What a job has printed, each character written once, however often the log is read from its beginning."""

    def __init__(self, write: Say) -> None:
        self._write, self._written = write, 0

    def tail(self, client: "JobSubmissionClient", job_id: str) -> None:
        """Write what is new until the job, or the connection, ends."""
        try:
            with errors_named(_url(client)):
                asyncio.run(self._tail(client, job_id))
        except Unreachable:
            raise
        except ClusterError:  # a job that is forgotten has no log; `find` tells what became of it
            return

    def finish(self, client: "JobSubmissionClient", job_id: str) -> None:
        """Write the end of an ended job's log: what it says while it is stopped comes after the connection's end."""
        with errors_named(_url(client)):
            text = client.get_job_logs(job_id)
        if len(text) > self._written:
            self._write(text[self._written :])
            self._written = len(text)

    async def _tail(self, client: "JobSubmissionClient", job_id: str) -> None:
        end, texts = 0, client.tail_job_logs(job_id)
        while True:
            try:
                text = await asyncio.wait_for(anext(texts), SILENT_SECONDS)
            except (StopAsyncIteration, TimeoutError):
                return
            begin, end = end, end + len(text)
            if end > self._written:
                self._write(text[max(0, self._written - begin) :])
                self._written = end


def _job(details: "JobDetails", attempt: int) -> Job:
    started = details.start_time
    return Job(
        job_id=str(details.submission_id),
        attempt=attempt,
        state=str(getattr(details.status, "value", details.status)),
        exit_code=details.driver_exit_code,
        message=details.message or "",
        started=None if started is None else started / 1000,
    )


def _url(client: "JobSubmissionClient") -> str:
    return str(client._address)
