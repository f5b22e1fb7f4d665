"""Measurement of all costs of a search space in a separate process, while Ray starts.

The driver of a sweep thus never loads torch. `python -m raysweep.sweep.plan.measuring`, this file, is that process: it
reads a resolved search space as JSON and writes `costs.json`; where a network cannot be built it exits with REFUSED and
prints why.
"""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator

from raysweep.core.errors import RaysweepError
from raysweep.sweep.plan.planner import make_plan
from raysweep.sweep.space.facts import data_facts
from raysweep.sweep.space.space import Space

REFUSED = 3
"""Exit status where a network cannot be built."""


@contextlib.contextmanager
def measuring(space: Space) -> Iterator[Callable[[], bool]]:
    """Measure all costs while the block runs.

    Yields:
        A function that waits for the measurements and returns whether they are in `costs.json`; it raises a
        RaysweepError where a network cannot be built.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin as stream:
        stream.write(space.model_dump_json())
    output = process.stdout

    def wait() -> bool:
        reason = output.read().strip()
        if process.wait() == REFUSED:
            raise RaysweepError(reason)
        return process.returncode == 0

    try:
        yield wait
    finally:
        process.kill()
        process.wait()
        output.close()


def _measure() -> int:
    space = Space.model_validate_json(sys.stdin.read())
    try:
        make_plan(space, data_facts(space), {}, measure=True)
    except RaysweepError as error:
        print(error)  # for the driver, which raises it
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(_measure())
