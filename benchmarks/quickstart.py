"""The main job as a newcomer has it: seconds, peak memory of all its processes, the order of the families, the rerun.

    python benchmarks/quickstart.py [SPACE]

Runs the search space (search_spaces/quickstart.yaml) in a fresh folder, then once more, and prints for each run the
wall-clock and the peak of the proportional set sizes of all its processes together; then whether both runs printed the
same table, and the answer itself. Linux only.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from raysweep.frontier import read_store

COMMAND = Path(sys.executable).parent / "raysweep"


def marked_bytes(mark: str) -> int:
    """Return the proportional set size of all processes that carry the mark in their environment."""
    total = 0
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (place / "environ").read_bytes():
                lines = (place / "smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
        except OSError:
            continue  # it has ended meanwhile
    return total


def timed(space: str, folder: Path, run: int) -> str:
    """Run the sweep, print what it took, and return the table that it printed at the end."""
    mark, peak, over = f"RAYSWEEP_BENCHMARK={os.getpid()}-{run}", 0, threading.Event()
    process = subprocess.Popen(
        [COMMAND, "run", space, f"storage={folder}", f"data.store={folder}/data"],
        env={**os.environ, **dict([mark.split("=")])}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    began = time.monotonic()

    def watch() -> None:
        nonlocal peak
        while not over.wait(1.0):
            peak = max(peak, marked_bytes(mark))

    thread = threading.Thread(target=watch)
    thread.start()
    out, _ = process.communicate()
    over.set()
    thread.join()
    print(
        f"run {run}: {time.monotonic() - began:.0f} s, peak {peak / 2**30:.2f} GiB, exit {process.returncode}",
        flush=True,
    )
    if process.returncode:
        sys.exit(out)
    return out


def table_of(out: str) -> list[str]:
    """Return the printed tables with what belongs to them: from the first head to the line that names the report."""
    lines = out.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("family "))
    last = next(i for i, line in enumerate(lines) if line.startswith("report: "))
    return lines[first:last]


def main() -> None:
    """Run twice and compare."""
    space = sys.argv[1] if len(sys.argv) > 1 else str(Path(__file__).parents[1] / "search_spaces" / "quickstart.yaml")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "sweep"
        first, second = timed(space, folder, 1), timed(space, folder, 2)
        print(f"{read_store(folder).num_rows} points; same table: {table_of(first) == table_of(second)}")
        print(second)


if __name__ == "__main__":
    main()
