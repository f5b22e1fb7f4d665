"""The toy training of the sweep's tests is that of the storage's, too."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "sweep"))
