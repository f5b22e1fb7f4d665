"""Neighbour graphs of structures, and batches of them."""
