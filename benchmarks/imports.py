"""Import speed beside ASE's own reading loop: `python benchmarks/imports.py [--structures 100000] [--workers 2]`.

Writes an extxyz and an `.aselmdb` file of synthetic molecules (10 to 30 atoms), times ASE's loop over a sample of each
(reading alone: no store is made of it), then `import_store` of the whole: digest, start of workers, reading, checking,
split, shuffle, statistics and store. It is imported twice: the first time for the time, the second time to look at the
memory, which takes a core's time of its own. Prints one JSON line: structures/s of both, the ratio, and the most memory
that all processes of the import held together (PSS). Needs raysweep[test] (psutil, ASE, ase-db-backends).
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import ase_db_backends  # noqa: F401
import lmdb
import numpy as np
import psutil
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import iread
from ase.io import write as ase_write

SAMPLE = 4000
DISTINCT = 5000


def molecules() -> Iterator[Atoms]:
    """Yield synthetic molecules with labels."""
    rng = np.random.default_rng(0)
    for i in range(DISTINCT):
        n = int(rng.integers(10, 31))
        atoms = Atoms(rng.choice([1, 6, 7, 8], n), rng.random((n, 3)) * (n / 0.08) ** (1 / 3))
        atoms.calc = SinglePointCalculator(atoms, energy=-1e4 + rng.normal(), forces=rng.normal(size=(n, 3)))
        atoms.info = {"charge": 0, "spin": 1, "group": f"m{i // 10}"}
        yield atoms


def write(folder: Path, count: int) -> None:
    """Write both files: some distinct molecules by the libraries, then the same again (the writers are slow)."""
    folder.mkdir(parents=True, exist_ok=True)
    distinct = list(molecules())
    ase_write(folder / "m.extxyz", distinct)
    text = (folder / "m.extxyz").read_text()
    (folder / "m.extxyz").write_text(text * (count // DISTINCT))
    with connect(str(folder / "m.aselmdb"), type="aselmdb") as database:
        for atoms in distinct:
            database.write(atoms, data=atoms.info)
    del database
    with (
        lmdb.open(str(folder / "m.aselmdb"), subdir=False, map_size=2**36) as environment,
        environment.begin(write=True) as change,
    ):
        for i in range(DISTINCT, count):
            change.put(b"%d" % (i + 1), change.get(b"%d" % (i % DISTINCT + 1)))
        change.put(b"nextid", zlib.compress(b"%d" % (count + 1)))


def by_ase(path: Path) -> float:
    """Return structures/s of ASE's loop over the first structures of a file."""
    began, read = time.perf_counter(), 0
    if path.suffix == ".aselmdb":
        database = connect(str(path), type="aselmdb", readonly=True, use_lock_file=False)
        for row in database.select(limit=SAMPLE):
            row.toatoms()
            read += 1
    else:
        for _ in iread(path, index=f":{SAMPLE}"):
            read += 1
    return read / (time.perf_counter() - began)


CALL = """
import sys, time
from raysweep.data.importing.imports import import_store
began = time.perf_counter()
import_store(sys.argv[1], [sys.argv[2]], workers=int(sys.argv[3]))
print(time.perf_counter() - began)
"""


def by_raysweep(path: Path, store: Path, workers: int, *, watched: bool) -> tuple[float, float]:
    """Return the seconds of an import, the start of its workers included, and, if watched, the most MB it held."""
    shutil.rmtree(store, ignore_errors=True)
    command = [sys.executable, "-c", CALL, str(store), str(path), str(workers)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    most = 0.0
    while watched and process.poll() is None:
        held = 0
        try:
            root = psutil.Process(process.pid)
            for one in [root, *root.children(recursive=True)]:
                held += one.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        most = max(most, held / 1e6)
        time.sleep(0.1)
    said = process.communicate()[0]
    if process.returncode:
        raise SystemExit(f"the import failed with status {process.returncode}")
    return float(said), most


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--structures", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/raysweep-benchmark-import"))
    arguments = parser.parse_args()
    folder = arguments.folder.with_name(f"{arguments.folder.name}-{arguments.structures}")
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        write(folder, arguments.structures)
        (folder / "done").touch()
    found: dict[str, object] = {"structures": arguments.structures, "workers": arguments.workers}
    for path in (folder / "m.extxyz", folder / "m.aselmdb"):
        theirs = by_ase(path)
        seconds, _ = by_raysweep(path, folder / "store", arguments.workers, watched=False)
        _, most = by_raysweep(path, folder / "store", arguments.workers, watched=True)
        ours = arguments.structures / seconds
        found[path.suffix[1:]] = {
            "file_mb": round(path.stat().st_size / 1e6), "ase_per_s": round(theirs), "raysweep_per_s": round(ours),
            "ratio": round(ours / theirs, 1), "seconds": round(seconds, 2), "peak_mb": round(most),
        }  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main()
