"""A resumed training run against an uninterrupted one."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from tests.conftest import TINY, TINY_SOUNDSCAPES, Sedtf


def check_resumed(sedtf: Sedtf, setting: str | list[str], epochs: int) -> None:
    """Train in one go into ``at_once``, and with a stop after one epoch into ``run``; compare.

    Args:
        sedtf: runs a verb in an empty working folder.
        setting: of both runs, on tiny soundscapes; or all of their settings.
        epochs: of both runs.
    """
    settings = [setting, *TINY, *TINY_SOUNDSCAPES] if isinstance(setting, str) else setting
    assert sedtf("train", *settings, f"trainer.epochs={epochs}", "output_dir=at_once") == 0
    assert sedtf("train", *settings, "trainer.epochs=1", "output_dir=run") == 0
    assert sedtf("train", "resume=run", f"trainer.epochs={epochs}") == 0
    at_once, resumed = (
        load_file(Path(run, "checkpoints", "last", "model.safetensors"))
        for run in ("at_once", "run")
    )
    torch.testing.assert_close(resumed, at_once, rtol=0, atol=0)
