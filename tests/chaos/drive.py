"""The command that the chaos tests kill: runs a search space to its end, and prints how it stands."""

import sys

from raysweep.core.errors import RaysweepError, Stopped
from raysweep.sweep.run import run
from raysweep.sweep.space.space import load_space

if __name__ == "__main__":
    try:
        result = run(load_space(sys.argv[1], sys.argv[2:]))
    except Stopped as ended:
        print(ended)
        sys.exit(ended.exit_code)
    except RaysweepError as error:
        print(error)
        sys.exit(1)
    print(f"complete={result.complete} ran={result.ran}")
