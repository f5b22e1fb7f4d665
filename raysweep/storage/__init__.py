"""The storage of a sweep: its trials, checkpoints and the lease of its driver."""
