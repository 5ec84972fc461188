"""Ownership of folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from sed_cli.cli.folders import check_unused
from sed_cli.errors import UserError


@pytest.mark.parametrize("place", ["checkpoints/best", "checkpoints"])
def test_nothing_is_written_among_checkpoints(place: str, tmp_path: Path) -> None:
    best = tmp_path / "checkpoints" / "best"
    best.mkdir(parents=True)
    (best / "model.safetensors").touch()

    with pytest.raises(UserError, match="already holds a checkpoint"):
        check_unused(tmp_path / place, "export")
    check_unused(tmp_path / "checkpoints" / "onnx", "export")
