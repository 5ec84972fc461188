"""Probabilities to events."""
