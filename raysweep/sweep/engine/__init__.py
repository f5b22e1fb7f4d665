"""The engine: trials of a stage in Ray Tune and on its workers."""
