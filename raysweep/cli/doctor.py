"""`doctor`: faults that would break a sweep, here or on a cluster, and how to fix them."""

import dataclasses
import json
import logging
import os
import time
from collections.abc import Sequence

from raysweep.cli.jobs import output_of, request_of
from raysweep.cli.show import print_json, show
from raysweep.cli.spaces import read_space
from raysweep.core.errors import ClusterError
from raysweep.core.io.proxies import is_loopback
from raysweep.doctor import judge
from raysweep.doctor.findings import Diagnosis, HealthFinding
from raysweep.doctor.here import examine
from raysweep.jobs import submit as jobs
from raysweep.jobs.client import asks_no_token, connect
from raysweep.jobs.query import ask
from raysweep.jobs.request import shell_command, variables_of_job
from raysweep.sweep.cluster.ray.home import token_file


def show_findings(
    path: str | None, overrides: Sequence[str], address: str | None, *, as_json: bool, allow_open: bool
) -> int:
    """Print the findings; return the exit status, 1 if there is a fault."""
    logger = logging.getLogger("raysweep")
    level = logger.level
    logger.setLevel(logging.ERROR)  # its warnings are among the findings
    try:
        if address is None:
            report = examine(read_space(path, overrides) if path else None)
        else:
            report = _remote(path, overrides, address, allow_open=allow_open)
    finally:
        logger.setLevel(level)
    if as_json:
        print_json({"healthy": report.healthy, **dataclasses.asdict(report)})
    else:
        for line in report.looked_at:
            show(f"looked at {line}")
        for finding in report.findings:
            show(f"{finding.severity} {finding.check}: {finding.where}: {finding.text}")
            show(f"    remedy: {finding.remedy}")
        show(_verdict(report))
    return 0 if report.healthy else 1


def _verdict(report: Diagnosis) -> str:
    faults = sum(finding.severity == "fault" for finding in report.findings)
    warnings = len(report.findings) - faults
    return f"{faults} faults, {warnings} warnings" if report.findings else "healthy: no faults found"


def _asked(path: str | None, overrides: Sequence[str], address: str, *, allow_open: bool) -> tuple[int, str]:
    client = connect(address, allow_open=allow_open)
    if path is None:
        variables: dict[str, object] = {"env_vars": variables_of_job(checked=True)}
        return ask(client, shell_command("doctor", "--json"), variables)
    request = request_of(path, overrides)
    with jobs.packed(request, lambda _: None) as environment:
        return ask(client, request.command("doctor", ["--json"]), environment)


def _remote(path: str | None, overrides: Sequence[str], address: str, *, allow_open: bool) -> Diagnosis:
    """Collect the findings of a cluster's head node, and those that only this machine can make."""
    found: list[HealthFinding] = [*judge.of_token(token_file(), named="RAY_AUTH_TOKEN_PATH" in os.environ)]
    url = address if "://" in address else f"http://{address}"
    host = url.split("://")[1].rpartition(":")[0].strip("[]/") or url
    if not is_loopback(host) and asks_no_token(url.rstrip("/")):
        remedy = "start Ray on every node with RAY_AUTH_MODE=token and one token, and reach it through a tunnel"
        text = "the dashboard requires no token: anyone who can reach it can run programs"
        found.append(HealthFinding(check="ports", where=url, text=text, remedy=remedy))
        allow_open = True  # its own doctor runs nothing that a stranger could not
    began = time.time()
    code, logs = _asked(path, overrides, address, allow_open=allow_open)
    output = output_of(logs)
    try:
        remote = json.loads(output)
    except ValueError:
        raise ClusterError(f"`raysweep doctor` failed there ({code}): {logs.strip()[-400:]}") from None
    found += [
        HealthFinding(**{**row, "where": row["where"].replace("here", "head node")}) for row in remote["findings"]
    ]
    looked = [
        f"{address}, {time.time() - began:.0f} s",
        *(line.replace("here,", "head node,", 1) for line in remote["looked_at"]),
    ]
    return Diagnosis(findings=tuple(dict.fromkeys(found)), looked_at=tuple(looked))
