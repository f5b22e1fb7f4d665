"""The driver process of a sweep: its signals, its output and its last message."""
