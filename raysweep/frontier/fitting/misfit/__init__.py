"""Tests whether a law's residuals are systematic: lack of fit, relative to the noise of points and runs."""
