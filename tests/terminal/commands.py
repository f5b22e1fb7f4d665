"""The command, and a folder with a toy sweep, for the tests of this room."""

import os
import shutil
import sys
from pathlib import Path

RAYSWEEP = str(Path(sys.executable).parent / "raysweep")
TOYS = Path(__file__).parents[1] / "sweep" / "toy_trials.py"
SPACE = """
name: toy
storage: sweep
entrypoint: toy_trials:train
families:
  alpha:
    architecture: toy-a
    sizes: {width: [8, 16, 32]}
grid:
  structures: [100, 200, 400]
learning_rate: {rates: {alpha: 0.02}}
"""


def environment(**changes: str) -> dict[str, str]:
    """Return the environment of a command, with nothing in it that says how to print."""
    silent = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTHONIOENCODING")
    kept = {name: value for name, value in os.environ.items() if name not in silent}
    return {**kept, "OMP_NUM_THREADS": "1", "TERM": "xterm-256color", **changes}


def toy_folder(folder: Path) -> Path:
    shutil.copy(TOYS, folder)
    (folder / "toy.yaml").write_text(SPACE)
    return folder
