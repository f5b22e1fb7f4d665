"""Structures: the embedded GFN2-xTB source, the store, neighbour graphs and batches."""
