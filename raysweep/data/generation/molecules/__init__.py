"""Molecules, their conformers, and the structures that are made of them."""
