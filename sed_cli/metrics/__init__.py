"""Metrics of events and activities, and their statistics."""
