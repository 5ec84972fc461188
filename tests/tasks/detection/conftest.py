"""A detector that finds many events, for tests that need one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sed_cli.tasks.detection.detector import Detector
from sed_cli.tasks.detection.load import load, read_config
from sed_cli.training.checkpoint import save_checkpoint


@pytest.fixture(scope="session")
def lively(trained_run: Path, recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint that finds many events: the trained one, amplified and balanced."""
    detector = load(trained_run)
    readout = detector.model.readout
    paths = sorted((recordings / "audio").glob("test_*"))
    with torch.no_grad():
        readout.weight.mul_(100)
        for _ in range(3):  # the feedback moves the logits, so once is not enough
            frames = np.concatenate([detector.probabilities(path) for path in paths])
            logits = torch.from_numpy(frames).double().clamp(1e-9, 1 - 1e-9).logit()
            readout.bias -= logits.median(dim=0).values.float()
    folder = tmp_path_factory.mktemp("lively") / "checkpoint"
    save_checkpoint(folder, detector.model, read_config(trained_run), detector.classes)
    return folder


@pytest.fixture
def detector(lively: Path) -> Detector:
    return load(lively)
