"""The default experiment learns; minutes, so among the slow tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Sedtf


@pytest.mark.slow
def test_the_default_experiment_learns(sedtf: Sedtf, tmp_path: Path) -> None:
    assert sedtf("train", "output_dir=run") == 0
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["frame"]["f1"] >= 0.75
