"""Runs read back, joined into one table, and drawn."""
