"""Checks of fits: approaches and families against each other, and runs that a fit has not seen."""
