"""Sweeps: planning, launching, resuming, searching, and how far they are."""
