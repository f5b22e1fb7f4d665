"""The plan of a sweep: the trials of its grid and their costs."""
