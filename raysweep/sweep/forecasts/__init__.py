"""Forecasts of single runs: written into the storage before the run, put to the test by training it."""
