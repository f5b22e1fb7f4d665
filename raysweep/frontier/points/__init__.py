"""Tables of points: read, cleaned, and what was found wrong with them."""
