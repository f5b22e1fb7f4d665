"""MLflow on a server with PostgreSQL, both of which are restarted in the middle of a sweep."""

import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import chain_trials
import pytest
from cluster_sweeps import assert_whole, chain_space, points_of, steps_made_twice
from ray_hosts import BIN, Cluster, wait_until
from servers import MlflowServer, Postgres, why_no_postgresql

from raysweep.storage.trial_store import TrialStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
LOOK = """
import json, sys
from mlflow.tracking import MlflowClient
client = MlflowClient(tracking_uri=sys.argv[1])
found = client.search_runs([client.get_experiment_by_name("chain").experiment_id], max_results=1000)
kinds = [run.data.tags["raysweep.kind"] for run in found]
print(json.dumps({
    "status": sorted({run.info.status for run in found}),
    "kinds": {kind: kinds.count(kind) for kind in kinds},
    "trials": len({run.data.tags.get("raysweep.trial_id") for run in found} - {None}),
}))
from raysweep.tracking.mlflow import read_points
import pyarrow.parquet as pq
pq.write_table(read_points("chain", sys.argv[1]), sys.argv[2])
"""


@pytest.fixture
def tracking(hosts: Cluster, tmp_path: Path) -> Iterator[tuple[Postgres, MlflowServer]]:
    """PostgreSQL and an MLflow server on the third host."""
    reason = why_no_postgresql()
    if reason is not None:
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="raysweep-"))  # pytest's are closed to PostgreSQL's account
    folder.chmod(0o755)
    database = Postgres(folder / "postgresql", hosts.outside)
    database.start()
    server = MlflowServer(tmp_path / "mlflow", database.uri, hosts.outside)
    server.start()
    yield database, server
    server.stop()
    database.stop()
    shutil.rmtree(folder)


@pytest.mark.parametrize("crash", [False, True], ids=["restarted", "killed"])
def test_sweep_goes_on_while_its_mlflow_and_database_are_away(
    hosts: Cluster, tracking: tuple[Postgres, MlflowServer], tmp_path: Path, notes: Path, crash: bool
) -> None:
    database, server = tracking
    hosts.start()
    space, log = chain_space(tmp_path, nap=4.0, points=3, tracking={"uri": server.uri}), tmp_path / "driver.log"
    driver = hosts.drive(["run", str(space)], log)
    wait_until(lambda: len(chain_trials.notes(notes)) >= 6, "work", 120)
    how = signal.SIGKILL if crash else signal.SIGINT
    database.stop(how)
    time.sleep(5)
    server.stop(how)
    time.sleep(5)
    database.start()
    server.start()
    assert driver.wait(300) == 0, log.read_text()
    store, points = TrialStore(str(tmp_path / "sweep")), points_of(tmp_path / "sweep")
    assert_whole(store, points, trials=4)
    assert steps_made_twice(chain_trials.notes(notes)) == {}
    told = [line for line in log.read_text().splitlines() if line.startswith("MLflow at ")]
    assert ["cannot be written to" in line for line in told] == [True, False], told
    assert "is back and up to date" in told[1]

    looked = hosts.head.run([sys.executable, "-c", LOOK, server.uri, str(tmp_path / "mlflow.parquet")])
    found = json.loads(looked.stdout.splitlines()[0])
    assert found == {"status": ["FINISHED"], "kinds": {"trial": 4, "stage": 1, "sweep": 1}, "trials": 4}
    order = [("trial_id", "ascending"), ("step", "ascending")]
    read = points_of(tmp_path, "mlflow.parquet").sort_by(order)
    assert read.select(points.column_names).equals(points.sort_by(order).cast(read.schema).select(points.column_names))
    again = hosts.head.run([str(BIN / "raysweep"), "sync", str(space)], hosts.environment)
    assert "MLflow has all 4 trials" in again.stdout, again.stdout + again.stderr
