"""Recognition of texts seen before, at 8 bytes a text."""

import numpy as np

from raysweep.core.hashing import digest


class SeenTexts:
    """A set of texts, stored as sorted 64-bit digests so that millions of them take megabytes.

    Among ten million texts, two share a digest with a probability of 3e-6; the second would be mistaken for the first.
    """

    def __init__(self) -> None:
        self._sorted = np.zeros(0, dtype=np.uint64)
        self._recent: set[int] = set()

    def add(self, text: str) -> bool:
        """Add a text; True if it is new."""
        key = int(digest(text.encode())[:16], 16)
        if key in self._recent or self._holds(key):
            return False
        self._recent.add(key)
        if len(self._recent) >= max(65_536, len(self._sorted) // 8):
            recent = np.fromiter(self._recent, dtype=np.uint64, count=len(self._recent))
            self._sorted = np.sort(np.concatenate([self._sorted, recent]))
            self._recent.clear()
        return True

    def _holds(self, key: int) -> bool:
        at = int(np.searchsorted(self._sorted, np.uint64(key)))
        return at < len(self._sorted) and int(self._sorted[at]) == key
