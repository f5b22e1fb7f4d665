"""The steps of a command that trains: prepare, train, finish."""
