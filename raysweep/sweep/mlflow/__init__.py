"""The wiring between a sweep and MLflow: where it is tracked, the mirror of its trials, and `sync`."""
