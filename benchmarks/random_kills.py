"""What a driver needs dies at a random moment: `python benchmarks/random_kills.py [--sweeps 20] [--seed 1]`.

Each sweep (naps instead of training) loses one of: the raylet, the head's process (gcs_server), the whole head, a
worker, the driver; half of them started Ray themselves, half joined a head that was started apart. Printed for each:
what was killed and when (seconds after its first point), how it ended, after how many seconds it had ended or said that
it goes on, and the line that says so. Then the same command is run again: its points have to equal those of a sweep
that nothing touched in all columns but timed ones, none doubled. Wanted: every sweep within 90 s, with a line; 0 hangs.
"""

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
import yaml

sys.path.append(str(Path(__file__).parents[1] / "tests" / "chaos"))
sys.path.append(str(Path(__file__).parents[1] / "tests" / "jobs"))
from killable import TOY, Sweep
from ray_head import Head, processes_of, short_folder

from raysweep.core.points import TIMED

RAYSWEEP = str(Path(sys.executable).with_name("raysweep"))
LIMIT = 90.0
"""Seconds after which a sweep counts as hanging."""
VICTIMS = ("raylet", "gcs_server", "head", "worker", "driver")
POINTS = 16
_SAYS = re.compile(r"run the same command again|resumes .*from its last checkpoint")


@dataclass
class Kill:
    """What became of a sweep."""

    victim: str
    ray: str
    """`own`, or `apart`."""
    moment: float
    outcome: str = "hang"
    seconds: float = LIMIT
    line: str = ""
    same: bool = False
    doubled: int = 0

    @property
    def good(self) -> bool:
        """Whether it ended or went on in time, with a line, and lost and doubled nothing."""
        return self.outcome != "hang" and bool(self.line) and self.same and not self.doubled


@dataclass
class Driver:
    """`raysweep run` with the lines that it printed, each with its time."""

    sweep: Sweep
    environment: Mapping[str, str]
    lines: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            [RAYSWEEP, "run", str(self.sweep.yaml)], env=dict(self.environment), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append((time.monotonic(), line.strip()))

    @property
    def text(self) -> str:
        """All that it printed."""
        return "\n".join(line for _, line in self.lines)

    def wait_for_work(self, seconds: float) -> None:
        """Return once it has a point, and a trial that runs."""
        until = time.monotonic() + seconds
        while not (self.sweep.worked() >= 1 and self.sweep.workers()):
            assert self.process.poll() is None, f"ended of itself with {self.process.poll()}:\n{self.text}"
            assert time.monotonic() < until, f"no point after {seconds:.0f} s:\n{self.text}"
            time.sleep(0.05)

    def end(self, seconds: float) -> int | None:
        """Return its exit status, None where it has none within these seconds; then it is killed."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None
        self._reader.join(10)
        return status

    def said(self, since: float) -> tuple[float, str] | None:
        """Return the last line, with its time, that tells how things go on."""
        found = [(at, line) for at, line in self.lines if at >= since and _SAYS.search(line)]
        return found[-1] if found else None


def make_sweep(folder: Path) -> Sweep:
    """Return four trials of four points, a second each."""
    sweep = Sweep(folder, nap=1.0, tune=False, failures=1)
    content = yaml.safe_load(sweep.yaml.read_text())
    for family in content["families"].values():
        family["sizes"]["width"] = [8, 16]
    content["grid"]["structures"] = [50, 100, 150, 200]
    sweep.yaml.write_text(yaml.safe_dump(content))
    return sweep


def environment_of(head: Head | None) -> dict[str, str]:
    """Return the environment of a driver that joins a head, or (None) starts Ray itself."""
    path = os.pathsep.join([str(TOY), os.environ.get("PYTHONPATH", "")])
    base = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    if head is None:
        base.pop("RAY_ADDRESS", None)
        return base
    return {**head.environment, **{k: base[k] for k in ("PYTHONPATH",)}, "RAY_ADDRESS": f"127.0.0.1:{head.port}"}


def services(kind: str, driver: Driver, head: Head | None) -> list[int]:
    """Return the processes of Ray's `kind` that this sweep uses; `head`: all of them, its workers too."""
    if head is not None and kind == "head":
        return processes_of(str(head.folder / "ray"))
    mark = str(head.folder / "ray") if head else None
    found = []
    for place in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            name = (place / "cmdline").read_bytes().split(b"\0")[0].decode().rpartition("/")[2]
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            ours = mark in (place / "cmdline").read_bytes().decode() if mark else parent == driver.process.pid
            if ours and (name == kind or (kind == "head" and name in ("gcs_server", "raylet"))):
                found.append(int(place.name))
    return found


def kill_one(kill: Kill, driver: Driver, head: Head | None) -> None:
    """Kill the victim as the system does when memory runs out, or a machine is lost."""
    if kill.victim == "driver":
        pids = [driver.process.pid]
    elif kill.victim == "worker":
        pids = driver.sweep.workers()[:1]
    else:
        pids = services(kill.victim, driver, head)
    assert pids, f"there is no {kill.victim}"
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def watch(kill: Kill, driver: Driver, since: float) -> None:
    """Wait until the sweep ends, or says that it goes on and ends well."""
    status = driver.end(LIMIT)
    ended, said = time.monotonic(), driver.said(since)
    if status is None:
        return
    kill.line = said[1] if said else ""
    if status == 0:
        kill.outcome, kill.seconds = "went on", (said[0] if said else ended) - since
    else:
        kill.outcome, kill.seconds = f"ended with status {status}", ended - since


def run_one(kill: Kill, folder: Path, expected: object) -> None:
    """Run a sweep, kill its victim, see how it ends, run it again, and compare its points."""
    head = Head(short_folder()) if kill.ray == "apart" else None
    sweep = make_sweep(folder)
    try:
        if head is not None:
            head.start()
        driver = Driver(sweep, environment_of(head))
        try:
            driver.wait_for_work(300)
            time.sleep(kill.moment)
            began = time.monotonic()
            kill_one(kill, driver, head)
            watch(kill, driver, began)
        finally:
            with contextlib.suppress(ProcessLookupError):
                driver.process.kill()
    finally:
        if head is not None:
            head.kill()
            shutil.rmtree(head.folder, ignore_errors=True)
    again = Driver(sweep, environment_of(None))
    if again.end(300) == 0:
        found = pq.read_table(sweep.storage / "points.parquet").drop_columns(TIMED)
        keys = Counter(zip(found["trial_id"].to_pylist(), found["budget"].to_pylist(), strict=True))
        kill.same, kill.doubled = found.equals(expected), sum(keys.values()) - len(keys)
    if not kill.good:
        print(driver.text, again.text, sep="\n", file=sys.stderr)


def measure(folder: Path, sweeps: int, seed: int) -> list[Kill]:
    """Kill something in each of so many sweeps; each victim comes as often as any other, with either kind of Ray."""
    draw = random.Random(seed)
    whole = make_sweep(folder / "whole")
    driver = Driver(whole, environment_of(None))
    assert driver.end(300) == 0, driver.text
    expected = pq.read_table(whole.storage / "points.parquet").drop_columns(TIMED)
    assert expected.num_rows == POINTS
    cases = [(victim, ray) for ray in ("own", "apart") for victim in VICTIMS]
    plan = [cases[i % len(cases)] for i in range(sweeps)] if sweeps >= len(cases) else draw.sample(cases, sweeps)
    draw.shuffle(plan)
    kills = []
    for index, (victim, ray) in enumerate(plan):
        kill = Kill(victim, ray, round(draw.uniform(0.0, 4.0), 2))
        run_one(kill, folder / str(index), expected)
        kills.append(kill)
        print(
            f"{index + 1:2d} {kill.victim:10s} Ray {kill.ray:5s} at {kill.moment:4.2f} s: {kill.outcome}, "
            f"{kill.seconds:.1f} s; points {'equal' if kill.same else 'DIFFER'}, {kill.doubled} doubled\n"
            f"   {kill.line or 'NO LINE'}",
            flush=True,
        )
    return kills


def main() -> None:
    """Print a paragraph for each sweep, then one JSON line; exit status 1 where one was not as wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sweeps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kills = measure(Path(folder), asked.sweeps, asked.seed)
    found = {
        "sweeps": len(kills),
        "hangs": sum(kill.outcome == "hang" for kill in kills),
        "without_a_line": sum(not kill.line for kill in kills),
        "other_points": sum(not kill.same for kill in kills),
        "doubled_points": sum(kill.doubled for kill in kills),
        "longest_seconds": round(max(kill.seconds for kill in kills), 1),
    }
    print(json.dumps(found))
    sys.exit(0 if all(kill.good for kill in kills) else 1)


if __name__ == "__main__":
    main()
