"""How fast the embedded source makes labelled structures: `python benchmarks/data_make.py [--structures 6000]`.

Makes the same store with one worker, two and four, from molecule growth to the written store, start-up included; once
more with two workers by a process that is killed (`kill -9`) half-way and started again; and checks that all have one
fingerprint. Beside it what this machine can do at all: the same labels by tblite alone, in one process and in two side
by side. Run it on an idle machine; the load before the run is printed with the result.
"""

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from itertools import product
from multiprocessing import get_context
from pathlib import Path

from raysweep.data.generation.xtb import make_store
from raysweep.data.store.store import Store, open_store
from raysweep.data.workers import usable_cores

KILLABLE = """
import sys
from raysweep.data.generation.xtb import make_store
def say(done, wanted):
    print(done, flush=True)
make_store(sys.argv[1], structures=int(sys.argv[2]), workers=2, progress=say)
"""


def main() -> None:
    """Print one JSON object: structures/s per core by number of workers, and the speed-up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--structures", type=int, default=6000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--repeats", type=int, default=1, help="the fastest counts")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    seconds: dict[int, float] = {}
    cpu_seconds: dict[int, float] = {}
    stores: dict[object, Store] = {}
    with tempfile.TemporaryDirectory() as folder:
        for repeat, workers in product(range(arguments.repeats), arguments.workers):
            location = Path(folder) / f"{workers}-{repeat}"
            started, before = time.perf_counter(), os.times()
            stores[workers, repeat] = make_store(location, structures=arguments.structures, workers=workers)
            after, ended = os.times(), time.perf_counter()
            seconds[workers] = min(ended - started, seconds.get(workers, math.inf))
            cpu_seconds[workers] = min(sum(after[:4]) - sum(before[:4]), cpu_seconds.get(workers, math.inf))
        stores["killed"], resumed_at = killed_half_way(Path(folder) / "killed", arguments.structures)
        alone = side_by_side(stores["killed"])
        fingerprints = {store.manifest.fingerprint for store in stores.values()}
    assert len(fingerprints) == 1, "workers, or a kill, changed the content"
    manifest = stores["killed"].manifest
    first, count = arguments.workers[0], manifest.structures
    result = {
        "structures": count,
        "mean_atoms": round(manifest.atoms / count, 2),
        "fingerprint": fingerprints.pop()[:16],
        "cores": usable_cores(),
        "load_before": round(load, 2),
        "seconds": {w: round(s, 2) for w, s in seconds.items()},
        "structures_per_second": {w: round(count / s, 1) for w, s in seconds.items()},
        "structures_per_cpu_second": {w: round(count / s, 1) for w, s in cpu_seconds.items()},
        "speed_up": {w: round(seconds[first] * first / s, 2) for w, s in seconds.items()},
        "resumed_after_kill_at": resumed_at,
        "tblite_alone": alone,
    }
    print(json.dumps(result))


def killed_half_way(location: Path, structures: int) -> tuple[Store, int]:
    """Return a store whose making was killed half-way and started again, and with how many structures it went on."""
    command = [sys.executable, "-c", KILLABLE, str(location), str(structures)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= structures * 0.8:
                process.send_signal(signal.SIGKILL)
                break
    time.sleep(1.0)  # its workers notice
    again = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return open_store(location), int(again.stdout.split()[0])


def side_by_side(store: Store) -> dict[str, float]:
    """Return labels/s by tblite alone of structures of the store: in one process, and in two at once, together."""
    structures = store.read(store.subset(min(1500, store.manifest.train_structures)))
    bounds = zip(structures.offsets[:-1], structures.offsets[1:], strict=True)
    molecules = [(structures.numbers[a:b], structures.positions[a:b][None]) for a, b in bounds]
    rates = {}
    for processes in (1, 2):
        with get_context("spawn").Pool(processes, initializer=one_thread) as pool:
            pool.map(label_all, [molecules[:20]] * processes, chunksize=1)  # imports
            times = []
            for _ in range(3):
                began = time.perf_counter()
                pool.map(label_all, [molecules] * processes, chunksize=1)
                times.append(time.perf_counter() - began)
            rates[f"{processes}_at_once"] = round(processes * len(molecules) / min(times), 1)
    return {**rates, "speed_up": round(rates["2_at_once"] / rates["1_at_once"], 2)}


def one_thread() -> None:
    """Keep numerical libraries, which are imported later, to one thread."""
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")


def label_all(molecules: list[tuple]) -> int:
    """Label each structure by itself."""
    from raysweep.data.generation.labels import label

    return sum(len(label(numbers, positions)[0]) for numbers, positions in molecules)


if __name__ == "__main__":
    main()
