"""Names of the two stages of a sweep, as trial store, MLflow and tables spell them."""

GRID = "grid"
"""Every trajectory of the grid, first in, first out, never stopped early."""
LEARNING_RATE = "learning_rate"
"""The search of the learning rates, the only place where trials are stopped early."""
