"""The detector for the tests of inference."""

from __future__ import annotations

from tests.tasks.detection.conftest import detector, lively

__all__ = ["detector", "lively"]
