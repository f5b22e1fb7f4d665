"""Scaling laws as values, and the quantities that follow from them."""
