"""cluster/machines.sh and cluster/slurm.sh, as written, on two hosts; `ssh`, `srun`, `scontrol` are stand-ins."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from cluster_sweeps import assert_whole, chain_space, points_of
from ray_hosts import BIN, Cluster, wait_until

from raysweep.core.trial import TrialState
from raysweep.storage.trial_store import TrialStore

SCRIPTS = Path(__file__).parents[2] / "cluster"
_SSH = """#!/bin/bash
host=$1; shift
exec ip netns exec "{switch}$host" env HOME="{homes}/$host" "$@"
"""
_SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do case $1 in --nodelist=*) host=${{1#*=}};; esac; shift; done
exec ip netns exec "{switch}$host" "$@"
"""
_SCONTROL = "#!/bin/bash\nprintf 'head\\nworker\\n'\n"


def stand_ins(hosts: Cluster, folder: Path) -> Path:
    """Write programs that reach the two hosts as ssh and Slurm would."""
    switch = hosts.head.name.removesuffix(hosts.head.label)
    homes, programs = folder / "homes", folder / "programs"
    programs.mkdir()
    for host in (hosts.head, hosts.worker):
        (homes / host.label).mkdir(parents=True)
        (homes / host.label / "env").symlink_to(BIN.parent)
    for name, text in (("ssh", _SSH), ("srun", _SRUN), ("scontrol", _SCONTROL)):
        (programs / name).write_text(text.format(switch=switch, homes=homes))
        (programs / name).chmod(0o755)
    return programs


@pytest.mark.slow
def test_machines_become_a_cluster_with_a_token_and_are_left_clean(hosts: Cluster, tmp_path: Path) -> None:
    programs = stand_ins(hosts, tmp_path)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = {
        **kept, "HOME": str(tmp_path / "laptop"), "SSH": str(programs / "ssh"), "TEMP": str(hosts.disk / "r"),
        "PORT": "6379", "OPTIONS": "--num-cpus=1 --object-store-memory=100000000", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    (tmp_path / "laptop").mkdir()
    names = (hosts.head.label, hosts.worker.label)
    script = ["bash", str(SCRIPTS / "machines.sh")]
    done = subprocess.run([*script, "start", *names], env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    token = tmp_path / "laptop" / ".ray" / "auth_token"
    hosts.token = token.read_text()
    assert len(hosts.token) == 64
    for place in (token, *(tmp_path / "homes" / name / ".ray" / "auth_token" for name in names)):
        assert place.stat().st_mode & 0o777 == 0o600
        assert place.read_text().strip() == hosts.token
    for host in (hosts.head, hosts.worker):
        hosts.log(host).write_text("")
    hosts.environment["RAY_AUTH_TOKEN"] = hosts.token
    hosts.wait_for_nodes(2)
    ask = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--max-time", "5"]
    from_head = hosts.head.run([*ask, "http://127.0.0.1:8265/api/jobs/"])
    assert from_head.stdout == "401", "the dashboard answers without a token"
    from_outside = hosts.outside.run([*ask, f"http://{hosts.head.address}:8265/api/jobs/"])
    assert from_outside.stdout == "000", "the dashboard is reached from another machine"
    stopped = subprocess.run([*script, "stop", *names], env=environment, capture_output=True, text=True, timeout=60)
    assert stopped.returncode == 0, stopped.stderr
    left = hosts.head.processes() + hosts.worker.processes()
    until = time.monotonic() + 20
    while left and time.monotonic() < until:
        time.sleep(0.5)
        left = hosts.head.processes() + hosts.worker.processes()
    assert not left, [Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")[:200] for pid in left]


def slurm(hosts: Cluster, space: Path, tmp_path: Path) -> "subprocess.Popen[bytes]":
    environment = {
        **hosts.environment, "SLURM_JOB_NODELIST": "head,worker", "SLURM_JOB_ID": "4711", "SLURM_CPUS_PER_TASK": "1",
        "VENV": str(BIN.parent), "TMPDIR": str(hosts.disk), "PATH": f"{tmp_path / 'programs'}:{os.environ['PATH']}",
    }  # fmt: skip
    command = ["bash", str(SCRIPTS / "slurm.sh"), str(space)]
    return hosts.head.start(command, tmp_path / "slurm.log", environment, cwd=tmp_path)


@pytest.mark.slow
def test_a_slurm_job_runs_a_sweep_on_its_nodes_ends_on_its_signal_and_goes_on(
    hosts: Cluster, tmp_path: Path, notes: Path
) -> None:
    stand_ins(hosts, tmp_path)
    space, log = chain_space(tmp_path, nap=0.5), tmp_path / "slurm.log"
    log.write_text("")
    store = TrialStore(str(tmp_path / "sweep"))

    def running() -> bool:
        return sum(store.state(trial_id) == TrialState.RUNNING for trial_id in store.ids()) == 2

    first = slurm(hosts, space, tmp_path)
    wait_until(running, "two trials run", 120, lambda: first.poll() is not None and log.read_text())
    began = time.monotonic()
    first.send_signal(signal.SIGTERM)  # what --signal=B:TERM@120 sends
    assert first.wait(60) == 143, log.read_text()
    assert time.monotonic() - began < 30
    assert "ended by SIGTERM" in log.read_text()
    wait_until(lambda: not hosts.head.processes() and not hosts.worker.processes(), "nothing is left on the nodes", 30)
    assert slurm(hosts, space, tmp_path).wait(200) == 0, log.read_text()
    assert_whole(store, points_of(tmp_path / "sweep"), trials=4)
    rows = [json.loads(line) for path in notes.glob("*.jsonl") for line in path.read_text().splitlines()]
    assert {row["host"] for row in rows} == {hosts.head.address, hosts.worker.address}
    wait_until(lambda: not hosts.head.processes() and not hosts.worker.processes(), "nothing is left on the nodes", 30)
