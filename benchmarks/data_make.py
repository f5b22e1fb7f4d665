"""How fast the embedded source makes labelled structures: `python benchmarks/data_make.py [--structures 4000]`.

Makes the same store with one worker and with two (or more), start-up and writing included, and checks that both have
the same fingerprint. Run it on an idle machine; the load before the run is printed with the result.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from raysweep.data.workers import usable_cores
from raysweep.data.xtb import make_store


def main() -> None:
    """Print one JSON object: structures/s per core by number of workers, and the speed-up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--structures", type=int, default=4000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    seconds: dict[int, float] = {}
    cpu_seconds: dict[int, float] = {}
    stores = {}
    with tempfile.TemporaryDirectory() as folder:
        for workers in arguments.workers:
            started, before = time.perf_counter(), os.times()
            store = make_store(Path(folder) / str(workers), structures=arguments.structures, workers=workers)
            after = os.times()
            seconds[workers] = time.perf_counter() - started
            cpu_seconds[workers] = sum(after[:4]) - sum(before[:4])
            stores[workers] = store.manifest
    assert len({manifest.fingerprint for manifest in stores.values()}) == 1, "workers changed the content"
    manifest = next(iter(stores.values()))
    first = arguments.workers[0]
    result = {
        "structures": manifest.structures,
        "mean_atoms": round(manifest.atoms / manifest.structures, 2),
        "cores": usable_cores(),
        "load_before": round(load, 2),
        "seconds": {w: round(s, 2) for w, s in seconds.items()},
        "structures_per_second_and_worker": {w: round(manifest.structures / s / w, 1) for w, s in seconds.items()},
        "structures_per_cpu_second": {w: round(manifest.structures / s, 1) for w, s in cpu_seconds.items()},
        "speed_up": {w: round(seconds[first] * first / s, 2) for w, s in seconds.items()},
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
