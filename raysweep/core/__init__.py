"""What every room may use, and nothing heavy."""
