"""Laws fitted to points: one fit from many starts, and its refits to bootstrap resamples."""
