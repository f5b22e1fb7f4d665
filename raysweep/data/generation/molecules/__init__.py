"""Molecules, their conformers, and the structures sampled from them."""
