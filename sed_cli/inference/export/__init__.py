"""``sedtf export``: a detector for use elsewhere, without PyTorch."""

from __future__ import annotations

from sed_cli.inference.export.run import export_checkpoint

__all__ = ["export_checkpoint"]
