"""The rounds of `grid.design: auto`, family by family."""
