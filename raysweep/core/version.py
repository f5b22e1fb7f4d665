"""The version of raysweep, which the package's metadata reads too, and the folder of its source."""

from pathlib import Path

__version__ = "0.1.0"
PACKAGE_FOLDER = Path(__file__).resolve().parents[1]
