"""Figures of sequence models."""

from __future__ import annotations

from pathlib import Path

import pytest

from sed_cli.tasks.sequence.figures import sequence_learning_curves

pytestmark = pytest.mark.usefixtures("drawn")


def test_a_training_without_validation_has_its_learning_curves(tmp_path: Path) -> None:
    history = tmp_path / "history.csv"
    history.write_text(
        "epoch,update,p_teacher,train_loss,validation_loss,validation_f1\n"
        "1,10,0.9,2.5,nan,nan\n2,20,0.8,2.0,nan,nan\n"
    )

    sequence_learning_curves(history, tmp_path / "curves.png", best_epoch=2)

    assert (tmp_path / "curves.png").stat().st_size > 0
