"""Opening and reading a large store: `python benchmarks/store.py [--structures 1000000] [--store FOLDER]`.

Makes a synthetic store once (about 20 atoms a structure), then, each in a fresh process of one thread, opens it, reads
random batches of 1,000 atoms with graphs within 5 Å for some seconds, and lets two processes read at the same time.
Prints one JSON line: seconds to open, atoms/s, growth of the resident memory (private, and with mapped pages of the
files), and what two readers hold together of the files' pages (PSS) beside what one holds.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

READER = """
import json, sys, time
import numpy as np, torch
from raysweep.data.graphs.batches import load_graphs
from raysweep.data.store.store import open_store
torch.set_num_threads(1)

def memory(store):
    anonymous = pss = 0
    ours = False
    for line in open("/proc/self/smaps"):
        if "-" in line.split(" ")[0]:
            ours = store in line
        elif line.startswith("Pss:") and ours:
            pss += int(line.split()[1])
        elif line.startswith("Anonymous:"):
            anonymous += int(line.split()[1])
    return {"anonymous_mb": anonymous / 1e3, "data_pss_mb": pss / 1e3}

place, seconds, seed = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
began = time.perf_counter()
store = open_store(place)
opened = time.perf_counter() - began
before = memory(place)
train = store.manifest.train_structures
graphs = load_graphs(store, store.subset(train), 5.0)
order = np.random.default_rng(seed).permutation(train)
atoms = edges = 0
began = time.perf_counter()
for _, batch in graphs.batches(order, 1000, torch.device("cpu"), torch.float32):
    atoms, edges = atoms + len(batch.numbers), edges + len(batch.senders)
    if time.perf_counter() - began > seconds:
        break
rate = atoms / (time.perf_counter() - began)
after = memory(place)
print(json.dumps({"open_s": opened, "atoms_per_s": rate, "edges_per_atom": edges / atoms,
                  "growth_mb": after["anonymous_mb"] - before["anonymous_mb"], "data_pss_mb": after["data_pss_mb"]}),
      flush=True)
if len(sys.argv) > 4:  # hold the pages until all readers have looked at them, then look again
    sys.stdin.readline()
    print(json.dumps(memory(place)), flush=True)
    sys.stdin.readline()
"""


def make(place: Path, structures: int) -> None:
    """Write a store of random structures, about 20 atoms each at the density of a molecule."""
    import numpy as np

    from raysweep.data.store.manifest import Provenance
    from raysweep.data.store.writing import write_store
    from raysweep.data.structures import Structures

    rng = np.random.default_rng(0)
    n_atoms = rng.integers(10, 31, size=structures)
    atoms = int(n_atoms.sum())
    side = np.repeat((n_atoms / 0.08) ** (1 / 3), n_atoms)[:, None]
    many = Structures(
        numbers=rng.choice(np.array([1, 6, 7, 8], dtype=np.uint8), size=atoms),
        positions=(rng.random((atoms, 3), dtype=np.float32) * side).astype(np.float32),
        forces=rng.normal(size=(atoms, 3)).astype(np.float32),
        n_atoms=n_atoms,
        energy=rng.normal(size=structures) * 10,
        residual=np.full(structures, np.nan, dtype=np.float32),
        group=np.array([f"g{i // 10}" for i in range(structures)], dtype=object),
    )
    write_store(place, many, Provenance(source="synthetic", licence="none"), validation_fraction=0.1, seed=0)


def reader(place: Path, seconds: float, seed: int, *, hold: bool = False) -> "subprocess.Popen[str]":
    """Start a process that reads; with `hold` it waits for a line before it says once more what it holds."""
    command = [sys.executable, "-c", READER, str(place), str(seconds), str(seed), *(["hold"] if hold else [])]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


def held(place: Path, seconds: float, readers: int) -> float:
    """Return MB of the store's pages that so many readers at once hold together."""
    running = [reader(place, seconds, seed, hold=True) for seed in range(readers)]
    for process in running:
        process.stdout.readline()
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    total = sum(json.loads(process.stdout.readline())["data_pss_mb"] for process in running)
    for process in running:
        process.communicate("\n")
    return float(total)


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--structures", type=int, default=1_000_000)
    parser.add_argument("--store", type=Path, default=Path("/tmp/raysweep-benchmark-store"))
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    place = arguments.store.with_name(f"{arguments.store.name}-{arguments.structures}")
    if not place.exists():
        subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import store; "
             f"from pathlib import Path; store.make(Path({str(place)!r}), {arguments.structures})"],
            check=True,
        )  # fmt: skip
    alone = json.loads(reader(place, arguments.seconds, 0).communicate()[0])
    one, two = held(place, arguments.seconds, 1), held(place, arguments.seconds, 2)
    print(
        json.dumps(
            {"structures": arguments.structures, **{k: round(v, 4) for k, v in alone.items()},
             "pages_of_one_mb": round(one, 1), "pages_of_two_mb": round(two, 1), "ratio": round(two / one, 3),
             "at": time.strftime("%Y-%m-%d")}
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
