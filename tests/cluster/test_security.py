"""Nobody without the token runs anything on the cluster, and names cannot lead out of a folder or into a terminal."""

import sys
from pathlib import Path

import pytest
from cluster_sweeps import chain_space
from ray_hosts import BIN, DASHBOARD, Cluster

pytestmark = [pytest.mark.timeout(300)]
JOIN = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False); print(ray.nodes())"


@pytest.mark.slow
def test_cluster_refuses_who_has_no_token_or_another_one(hosts: Cluster, tmp_path: Path) -> None:
    hosts.start_head()
    space = chain_space(tmp_path, nap=0.0)
    submit = [str(BIN / "raysweep"), "submit", str(space), "--address", hosts.dashboard]
    home = tmp_path / "home"
    home.mkdir()
    for token, words in (("", "requires a token"), ("0" * 64, "refused the token")):
        environment = {**hosts.environment, "RAY_AUTH_TOKEN": token, "HOME": str(home)}
        if not token:
            environment["RAY_AUTH_MODE"] = "disabled"
        done = hosts.outside.run(submit, environment)
        assert done.returncode == 1, done.stdout
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr
        if token:
            joined = hosts.head.run([sys.executable, "-c", JOIN, hosts.address], environment)
            assert joined.returncode != 0, joined.stdout
    assert not (tmp_path / "sweep").exists()
    fetch = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).status)"
    for page in ("/api/jobs/", "/api/cluster_status", "/nodes?view=summary", "/logical/actors"):
        done = hosts.outside.run([sys.executable, "-c", fetch, hosts.dashboard + page], {})
        assert "HTTP Error 401" in done.stderr, f"{page}: {done.stdout}{done.stderr}"


@pytest.mark.slow
def test_dashboard_on_the_heads_loopback_is_not_reached_from_another_address(hosts: Cluster, tmp_path: Path) -> None:
    hosts.start_head(dashboard_host="127.0.0.1")
    space = chain_space(tmp_path, nap=0.0)
    submit = [str(BIN / "raysweep"), "submit", str(space), "--address", hosts.dashboard]
    done = hosts.outside.run(submit, hosts.environment)
    assert done.returncode == 1
    assert f"{hosts.head.address}:{DASHBOARD} cannot be reached" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
