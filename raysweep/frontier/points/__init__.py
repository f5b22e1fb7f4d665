"""Tables of points: reading, cleaning, and findings about them."""
