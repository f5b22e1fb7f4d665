"""Hyperparameter laws: the best learning rate and the best batch size as functions of N and D."""
