"""The search of learning rates: pure functions of losses."""
