"""The contents of a report as plain values."""
