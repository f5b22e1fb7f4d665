"""Tests whether a law's residuals are systematic: lack of fit, told from the noise of points and of runs."""
