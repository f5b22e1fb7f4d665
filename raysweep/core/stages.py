"""Names of the stages of a sweep in the trial store, MLflow and tables."""

GRID = "grid"
"""Every trajectory of the grid, in order, never stopped early."""
LEARNING_RATE = "learning_rate"
"""The search of the learning rates, the only stage where trials are stopped early."""
FORECAST = "forecast"
"""Runs that put forecasts to the test; no fit takes their points, unless the grid has the same runs."""
TRAINED = "trained"
"""Models that were asked for by name or by compute (`raysweep train`); no fit takes their points, likewise."""

OF_SWEEPS = (GRID, LEARNING_RATE)
"""The stages that `run` plans; trials of the others are named one by one."""
NOT_FITTED = (LEARNING_RATE, FORECAST, TRAINED)
"""The stages whose points enter no fit of the frontier."""
