"""The figures themselves are tested here, so all of them are drawn."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _drawn(drawn: None) -> None:
    """Write figures, as for a user."""
