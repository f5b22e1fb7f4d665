"""Find faults of a machine or a cluster that break sweeps, each with its remedy."""
