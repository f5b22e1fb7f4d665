"""Decisions: which family is best at a compute, and which runs to make next to find out."""
