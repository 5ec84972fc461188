"""Sweeps: planning, launching, resuming, searching and status."""
