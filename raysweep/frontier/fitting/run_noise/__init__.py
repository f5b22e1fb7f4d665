"""The noise of runs: deviations from the law that a run remembers, estimated and taken into the fit."""
