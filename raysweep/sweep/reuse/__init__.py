"""Reuse of trials of other storages, and of this one after its code has changed."""
