"""Output on a terminal and elsewhere: streams that tolerate failures, and a progress line."""
