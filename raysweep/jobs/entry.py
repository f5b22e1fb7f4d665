"""The entry point of a job: check its environment, then become the command line.

python -m raysweep.jobs.entry run SPACE key=value ...
"""

import os
import platform
import sys

from raysweep.core.errors import ClusterError
from raysweep.core.terminal.streams import print_notice
from raysweep.sweep.cluster.environment import check, environment

REFUSED = 78
"""Exit status where the environment differs from the submitter's (EX_CONFIG of sysexits.h)."""
OUTPUT_MARK = "raysweep job: "
"""Beginning of the line that separates Ray's output from that of the command."""
_MAIN = "from raysweep.cli.app import main; main()"


def main() -> None:
    """Check, then become `raysweep` in the same process, so that a signal to the job reaches the sweep."""
    try:
        if sys.argv[1:2] != ["doctor"]:  # it reports differences itself
            check()
    except ClusterError as error:
        print_notice(str(error))
        raise SystemExit(REFUSED) from None
    found = environment()
    versions = ", ".join(f"{name} {found[name]}" for name in ("raysweep", "python", "ray", "torch"))
    sys.stdout.write(f"{OUTPUT_MARK}{versions} on {platform.node()}\n")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-c", _MAIN, *sys.argv[1:]])


if __name__ == "__main__":
    main()
