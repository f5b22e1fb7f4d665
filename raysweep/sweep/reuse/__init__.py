"""Reuse of earlier work: trials of other storages, and whether code or sweep have changed."""
