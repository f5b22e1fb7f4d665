"""Stages: sources of trials that the engine runs."""
