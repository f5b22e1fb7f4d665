"""The toy search spaces of the sweep's tests are those of this room, too."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "sweep"))
