"""Summaries of stores and their export."""
