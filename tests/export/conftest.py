"""The detector that the tests of inference use."""

from __future__ import annotations

from tests.inference.conftest import detector, lively

__all__ = ["detector", "lively"]
