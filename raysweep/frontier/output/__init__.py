"""Fits written for programs (JSON) and for readers (the checklist of a report)."""
