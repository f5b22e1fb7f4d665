"""Looks at a machine, or a cluster, for what breaks sweeps, and names the remedy of what it finds."""
