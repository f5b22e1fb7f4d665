"""Run as a process of its own: a driver that tells a mirror of trials, one step in each 50 ms, until it is killed."""

import sys
import time
from pathlib import Path

from raysweep.tracking.mlflow import MlflowMirror

sys.path.insert(0, str(Path(__file__).parent))

from sweeps import tell, view

uri, log = sys.argv[1:]
mirror = MlflowMirror(uri, "some", "toy", log=Path(log))
views = [view(i, count=8) for i in range(6)]
print("begun", flush=True)
for trial in views:
    for _ in tell(mirror, trial):
        time.sleep(0.05)
mirror.close()
print("closed", flush=True)
