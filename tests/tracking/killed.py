"""Run as a process: a driver that tells a mirror of trials, and stands still after some steps, to be killed."""

import sys
import time
from pathlib import Path

from raysweep.tracking.mlflow import MlflowMirror

sys.path.insert(0, str(Path(__file__).parent))

from sweeps import tell, view

uri, log, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
mirror = MlflowMirror(uri, "some", "toy", log=Path(log))
views = [view(i, count=8) for i in range(6)]
print("begun", flush=True)
told = 0
for trial in views:
    for _ in tell(mirror, trial):
        told += 1
        if told == steps:
            print("standing", flush=True)
            time.sleep(600)
mirror.close()
print("closed", flush=True)
