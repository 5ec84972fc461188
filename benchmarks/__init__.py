"""Measurements with their references: one script per question. ``python -m benchmarks --help``."""
