"""`submit`, `stop` and `status --address`: a sweep as a job of a Ray cluster."""

import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from raysweep.cli.show import print_json, show
from raysweep.cli.spaces import read_space
from raysweep.core.errors import ClusterError
from raysweep.core.messages import last_line
from raysweep.core.terminal.streams import print_notice
from raysweep.jobs import submit as jobs
from raysweep.jobs.client import connect, in_clear
from raysweep.jobs.commands import options_of
from raysweep.jobs.entry import OUTPUT_MARK, REFUSED
from raysweep.jobs.package import LIMIT_MIB
from raysweep.jobs.query import ask
from raysweep.jobs.request import Environment, Request, check_reachable

_NOT_FOUND = 127
"""Exit status of a shell for a command that does not exist."""
RESUBMISSIONS = 5
"""How often a job whose driver or head node died is replaced while it is followed."""


def request_of(
    path: str,
    overrides: Sequence[str],
    *,
    job: str = "run",
    options: Sequence[str] = (),
    environment: Environment = "cluster",
    limit_mib: float = LIMIT_MIB,
) -> Request:
    """Build the request to submit a sweep from the current folder.

    Raises:
        RaysweepError: the search space cannot be read, or names locations that exist on this machine alone.
    """
    space = read_space(path, overrides)
    check_reachable(space)
    return Request(
        space=space, path=Path(path), overrides=tuple(overrides), job=job, options=tuple(options), folder=Path.cwd(),
        environment=environment, limit_mib=limit_mib,
    )  # fmt: skip


def submit_sweep(
    path: str,
    overrides: Sequence[str],
    address: str,
    *,
    job: str,
    options: Sequence[str],
    environment: Environment,
    limit_mib: float,
    follow: bool,
    allow_open: bool,
) -> int:
    """Submit a sweep, or join the job that runs it, and follow it to its end; return the exit status of the sweep.

    Args:
        path: of the search space.
        overrides: of its values.
        address: of the cluster's dashboard.
        job: the command that the job is: run, choose or forecast.
        options: of that command.
        environment: of the job.
        limit_mib: largest package.
        follow: whether to write the job's output until it ends.
        allow_open: whether a cluster on another machine may ask for no token.

    Raises:
        RaysweepError: the search space, or the cluster, refuses it.
    """
    request = request_of(path, overrides, job=job, options=options, environment=environment, limit_mib=limit_mib)
    again = shlex.join([path, *overrides, "--address", address, *(["--allow-open"] if allow_open else [])])
    same = " ".join(filter(None, [again, shlex.join(options_of(job, options))]))
    for attempt in range(RESUBMISSIONS + 1):
        client = connect(address, allow_open=allow_open)
        if attempt == 0 and in_clear(address):
            print_notice(
                f"traffic to {address}, the token included, is not encrypted: use a tunnel (ssh -L) or https://"
            )
        sent = jobs.submit(client, request, print_notice)
        if not follow:
            _print_next_commands(again, same)
            return 0
        try:
            ended = jobs.follow(lambda: connect(address, allow_open=allow_open), sent, _write, print_notice)
        except KeyboardInterrupt:
            print_notice(f"job {sent.job_id} goes on")
            _print_next_commands(again, same)
            return 130
        if ended is not None and not ended.died:
            return _verdict(ended)
        lost = "the cluster has forgotten it" if ended is None else _last(ended.message)
        print_notice(f"job {sent.job_id} died ({lost}); another one completes the sweep")
    raise ClusterError(f"{RESUBMISSIONS + 1} jobs died in a row; see the log above, then submit again")


def _verdict(job: jobs.Job) -> int:
    if job.state == "STOPPED":
        print_notice("the job was stopped; run the same command to resume it")
    elif job.exit_code == REFUSED:
        print_notice("nothing was run")
    elif job.state == "FAILED":
        if job.exit_code == _NOT_FOUND or ("No module named" in job.message and "raysweep" in job.message):
            print_notice(
                "the head node has no `python`, or its `python` has no raysweep: activate the environment that has it "
                "before starting Ray (. .venv/bin/activate), or use --environment pip"
            )
        print_notice(f"the job ended with exit status {job.exit_code}")
    return job.exit_status


def stop_sweep(path: str, overrides: Sequence[str], address: str, *, allow_open: bool) -> int:
    """Stop the job of a sweep so that it can be resumed; return the exit status, 1 if no job runs."""
    request = request_of(path, overrides)
    client = connect(address, allow_open=allow_open)
    running = [job for job in jobs.jobs_of(client, request) if not job.ended]
    if not running:
        print_notice(f"no job of {request.space.name} runs at {address}")
        return 1
    for job in running:
        seconds = jobs.stop(client, job)
        print_notice(f"job {job.job_id} ended after {seconds:.1f} s; `raysweep submit` resumes it")
    return 0


def show_remote_status(path: str, overrides: Sequence[str], address: str, *, as_json: bool, allow_open: bool) -> int:
    """Print the state of a sweep's job, and the sweep's progress as the head node sees its storage."""
    request = request_of(path, overrides)
    client = connect(address, allow_open=allow_open)
    found = jobs.jobs_of(client, request)
    command = request.command("status", ["--json"] if as_json else [])
    with jobs.packed(request, lambda _: None, checked=False) as environment:
        code, text = ask(client, command, environment)
    output = output_of(text)
    if code != 0:
        raise ClusterError(f"`raysweep status` failed there: {_last(output or text)}")
    if as_json:
        print_json({"jobs": [{**vars(job), "ended": job.ended} for job in found], "sweep": json.loads(output)})
    else:
        show(output.rstrip())
        show(_of_job(found[-1]) if found else "no job: the cluster has no record of this sweep")
    return 0


def output_of(logs: str) -> str:
    """Extract a command's own output from that of Ray and of the job."""
    return logs.partition(OUTPUT_MARK)[2].partition("\n")[2]


def _of_job(job: jobs.Job) -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job.started)) if job.started else "not yet"
    code = "" if job.exit_code is None else f", exit status {job.exit_code}"
    return f"job {job.job_id}: {job.state.lower()}, started {since}{code}"


def _last(text: str) -> str:
    return last_line(text)[-300:] or "no reason given"


def _print_next_commands(arguments: str, same: str) -> None:
    print_notice(f"its progress:    raysweep status {arguments}")
    print_notice(f"follow it again: raysweep submit {same}")
    print_notice(f"stop it:         raysweep stop {arguments}")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
