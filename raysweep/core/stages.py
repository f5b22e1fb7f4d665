"""Names of the two stages of a sweep in the trial store, MLflow and tables."""

GRID = "grid"
"""Every trajectory of the grid, in order, never stopped early."""
LEARNING_RATE = "learning_rate"
"""The search of the learning rates, the only stage where trials are stopped early."""
