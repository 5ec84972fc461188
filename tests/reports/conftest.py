"""What is tested here are the figures themselves: all of them are drawn."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _drawn(drawn: None) -> None:
    """Have figures written as a user gets them."""
