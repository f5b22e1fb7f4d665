"""Answers of a fit: optima, predictions and near-optimal ranges, with intervals."""
