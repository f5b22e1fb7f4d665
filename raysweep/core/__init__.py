"""Values and functions that every room may use; nothing heavy."""
