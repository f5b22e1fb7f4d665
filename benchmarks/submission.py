"""What a submission costs: `python benchmarks/submission.py`.

A Ray head on the loopback address, with a token. Printed: the size of this project's package; seconds from the command
to the first trial, to a second `submit` that has joined, to an answer of `status`, from `stop` to a job that has ended;
whether the points of a sweep that was stopped and submitted again are those of a run without Ray Jobs, bit for bit.
"""

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from raysweep.core.points import TIMED
from raysweep.core.trial import TrialState
from raysweep.jobs.package import MIB, pack
from raysweep.storage.trial_store import TrialStore

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests" / "jobs"))

from ray_head import SPACE, TOYS, Head, User, short_folder  # noqa: E402


def seconds_of(user: User, *arguments: str) -> float:
    """Return how long a command took."""
    began = time.monotonic()
    user.call(*arguments)
    return time.monotonic() - began


def first_trial(storage: Path, began: float) -> float:
    """Return the seconds until a trial runs."""
    store = TrialStore(str(storage))
    while not any(store.state(trial_id) == TrialState.RUNNING for trial_id in store.ids()):
        time.sleep(0.05)
        assert time.monotonic() - began < 120, "no trial began within two minutes"
    return time.monotonic() - began


def main() -> None:
    """Print one JSON line."""
    head, work = Head(short_folder()), Path(tempfile.mkdtemp(prefix="rs-work-"))
    user = User(work, head)
    shutil.copy(TOYS, work)
    for name in ("submitted", "plain"):
        (work / f"{name}.yaml").write_text(SPACE.format(storage=work / name, nap=3.0))
    try:
        package = pack(ROOT, work / "package.zip")
        head.start()
        where = ("submitted.yaml", "--address", head.address)
        began = time.monotonic()
        user.call("submit", *where, "--detach")
        figures: dict[str, object] = {
            "package_mib": round(package.size / MIB, 2),
            "package_files": len(package.names),
            "first_trial_s": round(first_trial(work / "submitted", began), 1),
            "join_s": round(seconds_of(user, "submit", *where, "--detach"), 1),
            "status_s": round(seconds_of(user, "status", *where), 1),
        }
        _, told = user.call("stop", *where)
        figures["stop_s"] = float(told.split("after ")[1].split(" s")[0])
        user.call("submit", *where)
        user.call("run", "plain.yaml", PYTHONPATH=str(work), RAY_AUTH_MODE="disabled", RAY_AUTH_TOKEN="")
        there, here = (TrialStore(str(work / name)).table().drop_columns(TIMED) for name in ("submitted", "plain"))
        figures |= {"points": here.num_rows, "points_equal": there.equals(here)}
        print(json.dumps(figures))
    finally:
        head.kill()
        shutil.rmtree(head.folder)
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
