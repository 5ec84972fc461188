"""The detector that the tests of inference use."""

from __future__ import annotations

from tests.tasks.detection.conftest import detector, lively

__all__ = ["detector", "lively"]
