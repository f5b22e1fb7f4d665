"""Submit a sweep as a Ray job once, follow it, find it again, and stop it so that it can be resumed."""

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raysweep.core.errors import TRY_AGAIN_STATUS, ClusterError
from raysweep.core.io.retries import wait_until
from raysweep.core.io.temporary import temporary_folder
from raysweep.jobs.client import Unreachable, errors_named, url_of
from raysweep.jobs.request import STOP_SECONDS, Request, command_of

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

Say = Callable[[str], object]
Connect = Callable[[], "JobSubmissionClient"]
RECONNECT_SECONDS = 300.0
"""How long the cluster may be unreachable while a job is followed, such as while its head node is replaced."""
RETRY_SECONDS = 5.0
POLL_SECONDS = 0.5
SILENT_SECONDS = 60.0
"""Silence after which a job's state is queried: a broken connection reports no error."""
_STOPPED = (130, 143)
"""Exit statuses of a sweep that was stopped, or reached a cap."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job of a sweep, as the cluster reports it."""

    job_id: str
    attempt: int
    """Counted from 1; a job that died or was stopped is followed by another one."""
    state: str
    """PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED."""
    exit_code: int | None
    message: str
    started: float | None
    """Seconds since 1970."""
    command: str | None = None
    """The job's command: run, choose, forecast; None where it is none of raysweep's."""

    @property
    def ended(self) -> bool:
        """Whether the job has ended."""
        return self.state in ("SUCCEEDED", "FAILED", "STOPPED")

    @property
    def died(self) -> bool:
        """Whether its driver or its node was lost, so that another job can complete the sweep."""
        if self.state != "FAILED":
            return False
        code = self.exit_code
        return code is None or code < 0 or code == TRY_AGAIN_STATUS or (code > 128 and code not in _STOPPED)

    @property
    def exit_status(self) -> int:
        """The exit status for a shell."""
        if self.state == "SUCCEEDED":
            return 0
        return 143 if self.state == "STOPPED" else self.exit_code or 1


def jobs_of(client: "JobSubmissionClient", request: Request) -> list[Job]:
    """Find all jobs of a sweep that the cluster remembers, in the order of their attempts."""
    pattern = re.compile(rf"{re.escape(request.sweep_id)}-(\d+)$")
    with errors_named(url_of(client)):
        listed = client.list_jobs()
    found = [(pattern.match(details.submission_id or ""), details) for details in listed]
    return sorted((_job(details, int(match[1])) for match, details in found if match), key=lambda job: job.attempt)


def submit(client: "JobSubmissionClient", request: Request, say: Say) -> Job:
    """Submit a sweep, or join the job that already runs it.

    Raises:
        ClusterError: the cluster refuses it, or a job with another command runs this sweep.
    """
    before = jobs_of(client, request)
    if before and not before[-1].ended:
        running = before[-1].command or request.job
        if running != request.job:
            raise ClusterError(
                f"job {before[-1].job_id} has this sweep's storage for `raysweep {running}`, not {request.job}: wait "
                "for it, or end it with `raysweep stop`"
            )
        say(f"joined job {before[-1].job_id}, which already runs this sweep ({before[-1].state.lower()})")
        return before[-1]
    attempt = before[-1].attempt + 1 if before else 1
    job_id = f"{request.sweep_id}-{attempt}"
    with packed(request, say) as environment:
        command = request.command(request.job, request.options)
        try:
            send(client, job_id, command, environment)
        except ClusterError as error:
            if "already exists" not in str(error):
                raise
            say(f"joined job {job_id}, which was submitted at the same moment")
        else:
            say(f"submitted job {job_id}")
    return Job(
        job_id=job_id, attempt=attempt, state="PENDING", exit_code=None, message="", started=None, command=request.job
    )


def follow(connect: Connect, job: Job, write: Say, say: Say, *, give_up_after: float = RECONNECT_SECONDS) -> Job | None:
    """Write a job's output until it ends, reconnecting where the connection is lost; nothing is written twice.

    Args:
        connect: makes a client.
        job: the job.
        write: receives the job's output as it comes, without added line ends.
        say: receives lines about the connection.
        give_up_after: seconds without a connection.

    Returns:
        The job as it ended, or None where the cluster has forgotten it.

    Raises:
        Unreachable: the cluster was out of reach for `give_up_after` seconds.
    """
    log = _Log(write)
    lost: float | None = None
    pending = _PendingNotice(say)
    while True:
        try:
            client = connect()
            log.tail(client, job.job_id)
            now = find(client, job)
            pending.check(now)
            if lost is not None:
                say("the cluster can be reached again")
            lost = None
            if now is None or now.ended:
                if now is not None:
                    log.finish(client, job.job_id)
                return now
            time.sleep(POLL_SECONDS)
        except Unreachable as error:
            if lost is None:
                say(f"{error} Trying again for {give_up_after:.0f} s")
            lost = lost or time.monotonic()
            if time.monotonic() - lost > give_up_after:
                raise
            time.sleep(min(RETRY_SECONDS, give_up_after))


def find(client: "JobSubmissionClient", job: Job) -> Job | None:
    """Look up a job's current state; None where the cluster has forgotten it (its head node was replaced)."""
    try:
        with errors_named(url_of(client)):
            return _job(client.get_job_info(job.job_id), job.attempt)
    except Unreachable:
        raise
    except ClusterError as error:
        if "404" in str(error):
            return None
        raise


def stop(client: "JobSubmissionClient", job: Job) -> float:
    """Stop a job by SIGTERM, with everything saved.

    Returns:
        The seconds that it took.

    Raises:
        ClusterError: the job did not end.
    """
    began = time.monotonic()
    with errors_named(url_of(client)):
        client.stop_job(job.job_id)
    if wait_until(lambda: _has_ended(find(client, job)), seconds=STOP_SECONDS + 30, pause=POLL_SECONDS):
        return time.monotonic() - began
    raise ClusterError(f"job {job.job_id} did not stop; look at it in the dashboard ({url_of(client)})")


@contextlib.contextmanager
def packed(request: Request, say: Say, *, checked: bool = True) -> Iterator[dict[str, object]]:
    """Yield the runtime environment of a sweep's job; its package exists while the block runs."""
    with temporary_folder("package") as own:
        package = request.pack(own.path / "package.zip")
        say(f"package of {request.folder}: {package.text}")
        yield request.runtime_env(package, checked=checked)


def _has_ended(job: Job | None) -> bool:
    return job is None or job.ended


def send(client: "JobSubmissionClient", job_id: str, command: str, environment: dict[str, object]) -> None:
    """Send a job to the head node; raise a ClusterError that names the remedy where it accepts none."""
    with errors_named(url_of(client)):
        client.submit_job(entrypoint=command, submission_id=job_id, runtime_env=environment)


class _PendingNotice:
    """Reports, once, that a job has been pending for `SILENT_SECONDS`."""

    def __init__(self, say: Say) -> None:
        self._say, self._since, self._said = say, time.monotonic(), False

    def check(self, job: Job | None) -> None:
        """Check the job's current state."""
        if job is None or job.state != "PENDING" or self._said:
            return
        if time.monotonic() - self._since > SILENT_SECONDS:
            self._said = True
            self._say(f"job {job.job_id} has not been started for {SILENT_SECONDS:.0f} s: {job.message}")


class _Log:
    """Writes the output of a job, each character once, however often the log is read from its beginning."""

    def __init__(self, write: Say) -> None:
        self._write, self._written = write, 0

    def tail(self, client: "JobSubmissionClient", job_id: str) -> None:
        """Write new output until the job, or the connection, ends."""
        try:
            with errors_named(url_of(client)):
                asyncio.run(self._tail(client, job_id))
        except Unreachable:
            raise
        except ClusterError:  # a forgotten job has no log; `find` reports that
            return

    def finish(self, client: "JobSubmissionClient", job_id: str) -> None:
        """Write the rest of an ended job's log: output written while it stops arrives after the connection's end."""
        with errors_named(url_of(client)):
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
        command=command_of(details.entrypoint or ""),
    )
