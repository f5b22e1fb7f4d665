"""Commands whose answer is a fitted value rather than the frontier: hyperparameters, forecasts."""
