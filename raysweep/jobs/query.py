"""A short command as a job on the head node: its exit status and its output."""

import time
import uuid
from typing import TYPE_CHECKING

from raysweep.core.errors import ClusterError
from raysweep.core.io.retries import wait_until
from raysweep.jobs.client import errors_named, url_of
from raysweep.jobs.entry import OUTPUT_MARK
from raysweep.jobs.submit import POLL_SECONDS, Job, find, send

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

WAITING_SECONDS = 90.0
"""How long the head node may take to start a query job; if its Ray is dead, it never does."""
LOGS_SECONDS = 15.0
"""Longest wait for the output of a query job that has ended."""


def ask(client: "JobSubmissionClient", command: str, environment: dict[str, object]) -> tuple[int, str]:
    """Run a short command on the head node.

    Returns:
        Its exit status and its output.

    Raises:
        ClusterError: the command could not be run.
    """
    job_id = f"raysweep-ask-{uuid.uuid4().hex[:12]}"
    job = Job(job_id=job_id, attempt=1, state="PENDING", exit_code=None, message="", started=None)
    send(client, job_id, command, environment)
    began = time.monotonic()
    while True:
        now = find(client, job)
        if now is None:
            raise ClusterError(f"{url_of(client)} has lost the query job; ask again")
        if now.ended:
            break
        if now.state == "PENDING" and time.monotonic() - began > WAITING_SECONDS:
            raise ClusterError(
                f"{url_of(client)} has not started the query job for {WAITING_SECONDS:.0f} s "
                f"({' '.join(now.message.split())[-300:]}): is Ray on the head node (its raylet) alive?"
            )
        time.sleep(POLL_SECONDS)
    with errors_named(url_of(client)):
        logs = _whole_logs(client, job_id) if now.exit_status == 0 else client.get_job_logs(job_id)
        client.delete_job(job_id)
    if now.exit_code is None:
        raise ClusterError(f"the cluster could not run it: {' '.join(now.message.split())[-600:]}")
    return now.exit_status, logs


def _whole_logs(client: "JobSubmissionClient", job_id: str) -> str:
    """Read the logs of a job that has succeeded; on a busy head they arrive seconds after its end.

    Raises:
        ClusterError: they have no output.
    """
    logs = [""]

    def complete() -> bool:
        logs[0] = client.get_job_logs(job_id)
        return logs[0].partition(OUTPUT_MARK)[2].partition("\n")[2].endswith("\n")

    if not wait_until(complete, LOGS_SECONDS, POLL_SECONDS):
        raise ClusterError(f"{url_of(client)} has no output of the query job, though it has succeeded; ask again")
    return logs[0]
