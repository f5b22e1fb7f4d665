"""Twelve faults seeded on two real hosts are named with their remedies, and a healthy cluster has none."""

import json
import os
import shutil
from pathlib import Path

import pytest
from cluster_sweeps import chain_space
from ray_hosts import BIN, Cluster

import raysweep

_SICK = """
mount -t tmpfs none "$1" && mount -t tmpfs -o size=64m none /dev/shm && mkdir -p "$2" &&
mount -t tmpfs -o size=700m none "$2" && mkdir "$2/session_2020-01-01_00-00-00_000000_1" &&
fallocate -l 300M "$2/session_2020-01-01_00-00-00_000000_1/big" && ulimit -n 900 && shift 2 && exec "$@"
"""
"""A disk of its own where the storage is, little shared memory, a small disk with a dead session, few open files."""


def findings(hosts: Cluster, arguments: list[str], tmp_path: Path, status: int) -> list[dict[str, str]]:
    log = tmp_path / "doctor.log"
    log.write_bytes(b"")
    assert hosts.drive(["doctor", *arguments, "--json"], log).wait(120) == status, log.read_text()
    text = log.read_text()
    return list(json.loads(text[text.index("{") :])["findings"])


@pytest.mark.slow
def test_seeded_faults_are_named_with_their_remedies(hosts: Cluster, tmp_path: Path) -> None:
    own, source, home = tmp_path / "own", tmp_path / "source", tmp_path / "home"
    own.mkdir()
    (home / ".ray").mkdir(parents=True)
    (home / ".ray" / "auth_token").write_text("secret")
    (home / ".ray" / "auth_token").chmod(0o644)
    shutil.copytree(Path(raysweep.__file__).parent, source / "raysweep")
    with (source / "raysweep" / "trial.py").open("a") as changed:
        changed.write("# another one\n")
    (source / "sitecustomize.py").write_text("import time\nours = time.time\ntime.time = lambda: ours() + 120\n")
    hosts.environment |= {"RAY_AUTH_MODE": "disabled", "HOME": str(home)}
    del hosts.environment["RAY_AUTH_TOKEN"]
    hosts.start_head()
    path = f"PYTHONPATH={source}:{hosts.environment['PYTHONPATH']}"
    sick = ["unshare", "--mount", "sh", "-c", _SICK, "sh", str(own), str(hosts.disk / hosts.worker.label)]
    hosts.start_worker(["env", path, *sick])
    hosts.wait_for_nodes(2)
    changes = {"data": {"store": str(tmp_path / "nowhere")}, "resources": {"gpu": 1}}
    space = chain_space(tmp_path, nap=0.0, storage=str(own / "sweep"), **changes)
    found = findings(hosts, [str(space), "tracking.uri=http://127.0.0.1:9"], tmp_path, status=1)
    told = {row["check"]: row for row in found}
    worker = f"node {hosts.worker.address}"
    seeded = {
        "versions": (worker, "raysweep source", "install the same versions on every node"),
        "storage": (worker, "does not see what the driver wrote", "give a path that all nodes share"),
        "shm": (worker, "/dev/shm has 64 MiB", "--shm-size"),
        "disk": (worker, f"the disk of {hosts.disk / hosts.worker.label}", "free some space"),
        "sessions": (worker, "unused Ray sessions (1) take up 0.3 GiB", "rm -r "),
        "limits": (worker, "may open 900 files", "ulimit -n 65536"),
        "clock": (worker, " s fast", "NTP"),
        "resources": ("cluster", "a trial requests 1 GPU and no node has more than 0", "request less"),
        "mlflow": ("here", "MLflow at http://127.0.0.1:9 cannot be reached", "start the server"),
        "token": ("here", "others may read the cluster's token", f"chmod 600 {home}/.ray/auth_token"),
        "ports": ("cluster", "Ray requires no token", "RAY_AUTH_MODE=token"),
        "data": ("here", str(tmp_path / "nowhere"), "raysweep data check"),
    }
    for check, (where, text, remedy) in seeded.items():
        assert check in told, f"{check} was not found: {json.dumps(found, indent=1)}"
        assert told[check]["where"].startswith(where), told[check]
        assert text in told[check]["text"], told[check]
        assert remedy in told[check]["remedy"], told[check]
    assert set(told) == set(seeded), json.dumps(found, indent=1)
    assert len(found) == len(seeded), "a fault was told twice, or seen on a sound node"


@pytest.mark.slow
def test_a_healthy_cluster_has_no_finding_from_the_head_or_from_afar(hosts: Cluster, tmp_path: Path) -> None:
    hosts.environment |= {"HOME": str(tmp_path / "home"), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    hosts.start()
    space = chain_space(tmp_path, nap=0.0)
    assert findings(hosts, [str(space)], tmp_path, status=0) == []
    command = [str(BIN / "raysweep"), "doctor", space.name, "--address", hosts.dashboard, "--json"]
    command = ["env", "-C", str(tmp_path), *command]
    done = hosts.outside.run(command, {**hosts.environment, "PYTHONPATH": os.environ.get("PYTHONPATH", "")})
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["findings"] == []
    assert sum(line.startswith("node ") for line in report["looked_at"]) == 2
    stranger = {**hosts.environment, "RAY_AUTH_TOKEN": "wrong"}
    refused = hosts.outside.run(command, stranger)
    assert refused.returncode == 1
    assert "refused the token" in refused.stderr
