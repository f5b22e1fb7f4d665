"""Trials per hour on two hosts of one core each against one: how much of a second host a sweep gets.

python benchmarks/two_hosts.py --trials 6 --structures 72000      # as root: it makes network namespaces

Each "host" has an address, a Ray and one core of its own (`taskset`). Both sweeps train the same trials, from the same
store, with the same rates. What is timed is the time from the first trial's beginning to the last one's end, the
workers' imports of torch included, 2 s on each host; left out are the starts of Ray, of the driver and of the data. A
trial trains for 20 s, with one thread. `ceiling` is what this machine's two cores give: the same training in two bare
processes, one on each core, against one alone, the best of two measurements of each.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests" / "cluster"))

import yaml
from cluster_sweeps import quickstart_space
from network import Network
from ray_hosts import BIN, Cluster

from raysweep.storage.trial_store import TrialStore

CORES = ("0", "1")


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--structures", type=int, default=72_000, help="seen by each trial")
    options = parser.parse_args()
    found: dict[str, object] = {"trials": options.trials, "structures": options.structures}
    with tempfile.TemporaryDirectory(prefix="raysweep-") as folder:
        shared = Path(folder)
        make_data(shared)
        measured = [[bare(shared, options.structures, count) for count in (1, 2)] for _ in range(2)]
        alone, together = (min(seconds) for seconds in zip(*measured, strict=True))
        found["bare_seconds"] = [[round(seconds, 1) for seconds in pair] for pair in measured]
        found["ceiling"] = round(2 * alone / together, 2)
        for hosts in (1, 2):
            seconds, trial_seconds = sweep(shared, hosts, options.trials, options.structures)
            found[f"trials_per_hour_{hosts}"] = round(3600 * options.trials / seconds, 1)
            found[f"seconds_of_a_trial_{hosts}"] = round(trial_seconds, 1)
    found["speedup"] = round(float(str(found["trials_per_hour_2"])) / float(str(found["trials_per_hour_1"])), 2)
    print(json.dumps(found))


def space(shared: Path, name: str, trials: int, structures: int) -> Path:
    """Write the search space: one family and size, a trial for each seed, rates given."""
    path = quickstart_space(shared, name)
    content = yaml.safe_load(path.read_text())
    content["data"]["store"] = str(shared / "store")
    content["families"] = {"mpnn": {**content["families"]["mpnn"], "sizes": {"width": [16]}}}
    content["grid"] = {"structures": [structures], "epochs": structures // 200, "seeds": list(range(trials))}
    content["learning_rate"] = {"rates": {"mpnn": 0.005}}
    content["tracking"] = {"enabled": False}
    path.write_text(yaml.safe_dump(content))
    return path


def make_data(shared: Path) -> None:
    """Make the store, which the sweeps share."""
    subprocess.run([str(BIN / "raysweep"), "data", "make", str(shared / "store"), "--structures", "400"], check=True)


def bare(shared: Path, structures: int, count: int) -> float:
    """Return the seconds of so many trainings at once without Ray, each on a core of its own."""
    path = space(shared, "bare", count, structures)
    code = (
        "import sys; from raysweep import load_space, plan, open_store; from raysweep.training import loop\n"
        "import time; found = load_space(sys.argv[1]); trial = plan(found).trials[int(sys.argv[2])]\n"
        "store = open_store(found.data.store); began = time.monotonic()\n"
        "list(loop.train(trial.spec, store, checkpoints=None, device='cpu')); print(time.monotonic() - began)"
    )
    running = [
        subprocess.Popen(
            ["taskset", "-c", core, sys.executable, "-c", code, str(path), str(index)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for index, core in enumerate(CORES[:count])
    ]
    return max(float(process.communicate()[0].split()[-1]) for process in running)


def sweep(shared: Path, hosts: int, trials: int, structures: int) -> tuple[float, float]:
    """Return the seconds of a sweep on so many hosts, and the mean seconds of one of its trials."""
    path = space(shared, f"hosts-{hosts}", trials, structures)
    with Network() as network, Cluster(network, shared, {"RAY_worker_niceness": "0"}) as cluster:
        cluster.start_head(["taskset", "-c", CORES[0]], dashboard=False)
        if hosts == 2:
            cluster.start_worker(["taskset", "-c", CORES[1]])
        cluster.wait_for_nodes(hosts)
        time.sleep(5)  # Ray's own start
        log = shared / "driver.log"
        status = cluster.drive(["run", str(path)], log).wait(3600)
        assert status == 0, log.read_text()
    store = TrialStore(str(shared / f"hosts-{hosts}"))
    records = [store.record(trial) for trial in store.ids()]
    assert len(records) == trials
    spans = [(float(record.started or 0), float(record.ended or 0)) for record in records]
    whole = max(end for _, end in spans) - min(start for start, _ in spans)
    return whole, sum(end - start for start, end in spans) / trials


if __name__ == "__main__":
    main()
