"""The embedded source: random molecules with GFN2-xTB labels."""
