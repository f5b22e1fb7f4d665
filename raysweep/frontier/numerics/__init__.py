"""The solver, its starts, and intervals from bootstrap draws."""
