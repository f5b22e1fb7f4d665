"""Output on a terminal and elsewhere: streams that fail quietly, and a progress line."""
