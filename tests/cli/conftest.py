"""The toy search spaces of the sweep's tests are those of the command line's, too."""

import sys
from pathlib import Path

from tests.fewer_bootstraps import _fewer_bootstraps as _fewer_bootstraps

sys.path.append(str(Path(__file__).parents[1] / "sweep"))
