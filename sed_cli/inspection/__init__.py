"""Inspection: what is in a set, before anything is trained on it."""

from __future__ import annotations

from sed_cli.inspection.run import inspect_data

__all__ = ["inspect_data"]
