"""A sweep of naps in a process of its own, to be killed."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from raysweep.core.trial import TrialState
from raysweep.storage.trial_store import TrialStore
from tests.drivers import Driver, shared_ray

HERE = Path(__file__).parent
TOY = HERE.parent / "sweep"


class Sweep:
    """A search space on disk, and drivers that run it."""

    def __init__(
        self,
        folder: Path,
        nap: float = 0.1,
        tune: bool = True,
        failures: int = 3,
        tracked: bool = False,
        uri: str | None = None,
        held: bool = False,
    ) -> None:
        folder.mkdir(parents=True)
        self.hold = folder / "hold"
        """While this file is there, no trial of a sweep that was made with `held` gets to its next point."""
        self.storage = folder / "sweep"
        self.yaml = folder / "toy.yaml"
        fixed: dict[str, float | str] = {"nap": nap, "while": str(self.hold)} if held else {"nap": nap}
        families = {
            "a": {"architecture": "toy-a", "fixed": fixed, "sizes": {"width": [8, 12, 16, 24]}},
            "b": {"architecture": "toy-b", "fixed": fixed, "sizes": {"width": [8, 12, 16, 24]}},
        }
        rate = {"low": 5e-3, "high": 1e-1, "structures": 90, "trials": 5, "widenings": 0}
        content = {
            "name": "toy",
            "storage": str(self.storage),
            "entrypoint": "toy_trials:train",
            "families": families,
            "grid": {"structures": [50, 100, 150, 200, 250, 300, 350, 400]},
            "learning_rate": rate if tune else {"rates": {"a": 0.02, "b": 0.03}},
            "resources": {"cpu": 1, "max_failures": failures},
            "tracking": {"enabled": tracked, "uri": uri},
        }
        self.yaml.write_text(yaml.safe_dump(content))
        self.store = TrialStore(str(self.storage))

    def start(self, **variables: str) -> Driver:
        path = os.pathsep.join([str(TOY), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **variables}
        return Driver([str(HERE / "drive.py"), str(self.yaml)], environment=environment)

    def finish(self) -> str:
        """Run it to its end, which must be a good one, on the Ray of all drivers."""
        driver = self.start(**shared_ray())
        output, _ = driver.communicate(timeout=200)
        assert driver.returncode == 0, output
        return output

    def worked(self) -> int:
        """Return how many points were worked out, those twice counted twice."""
        files = self.storage.glob("trials/*/checkpoints/*/worked.txt")
        return sum(len(path.read_text().splitlines()) for path in files)

    def workers(self) -> list[int]:
        """Return the processes of the trials that run now."""
        running = (i for i in self.store.ids() if self.store.record(i).state == TrialState.RUNNING)
        files = (Path(self.store.checkpoints(i), "process.txt") for i in running)
        return [int(path.read_text()) for path in files if path.exists()]

    def wait(self, reached: Callable[[], bool], driver: Driver, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not reached():
            assert driver.poll() is None, driver.stdout.read()
            assert time.monotonic() < end, "the sweep did not get there"
            time.sleep(0.05)


def child(parent: int, name: str) -> int:
    """Return a process that another one started, by the name of its program; 0 where there is none."""
    for place in Path("/proc").iterdir():
        try:
            program = (place / "cmdline").read_bytes().split(b"\0")[0].decode()
            started_by = int((place / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):  # it has ended, or is no process
            continue
        if started_by == parent and program.rpartition("/")[2] == name:
            return int(place.name)
    return 0


def kill(driver: Driver) -> None:
    """Kill a driver as the system does when memory runs out, and close its pipe."""
    driver.kill()
    driver.communicate(timeout=30)
