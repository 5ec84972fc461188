"""The figures of a run: the inputs they accept, and the positions of their content."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sed_cli.errors import UserError
from sed_cli.reports import figures
from sed_cli.reports.figures import MAX_WINDOW_S, EventRow, RollItem, learning_curves, piano_rolls


def test_the_bands_of_ultrasound_have_frequencies_too() -> None:
    _, names = figures.frequency_ticks(np.geomspace(15_000.0, 125_000.0, 40))
    assert names == ["16", "32", "64"]


def history_of(n_epochs: int) -> pd.DataFrame:
    epochs = np.arange(1, n_epochs + 1)
    return pd.DataFrame(
        {
            "epoch": epochs,
            "update": 10 * epochs,
            "p_teacher": 0.9,
            "train_loss": 1.0 / epochs,
            "validation_loss": 1.2 / epochs,
            "validation_f1": 1 - 1.0 / (epochs + 1),
            "validation_er": 1.0 / epochs,
            "learning_rate": 1e-3,
            "seconds": 1.0,
        }
    )


def item_of(
    *,
    duration_s: float = 5.0,
    hop_s: float = 0.1,
    events: list[EventRow] | None = None,
    predicted: list[EventRow] | None = None,
    classes: tuple[str, ...] = ("a", "b", "c"),
) -> RollItem:
    n_frames = round(duration_s / hop_s)
    return RollItem(
        name="file $x$ 音.wav",  # neither a formula nor a script in the font
        log_mel=np.random.default_rng(0).standard_normal((n_frames, 40)).astype(np.float32),
        hop_s=hop_s,
        reference=events or [],
        predicted=predicted or [],
        classes=classes,
        centres_hz=np.geomspace(60, 7900, 40),
    )


@pytest.mark.parametrize("n_epochs", [1, 300])
def test_learning_curves_of_any_length_are_drawn(tmp_path: Path, n_epochs: int) -> None:
    learning_curves(history_of(n_epochs), tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert min(picture.size) > 1000


def test_learning_curves_from_a_file_are_the_same_picture(tmp_path: Path) -> None:
    history = history_of(5)
    history.loc[1:2, ["validation_loss", "validation_f1"]] = np.nan  # empty cells in the file
    history.to_csv(tmp_path / "history.csv", index=False)
    learning_curves(history, tmp_path / "frame.png")
    learning_curves(tmp_path / "history.csv", tmp_path / "file.png")
    assert (tmp_path / "frame.png").read_bytes() == (tmp_path / "file.png").read_bytes()


def test_best_epoch_is_that_of_the_highest_score(tmp_path: Path) -> None:
    history = history_of(6)
    history["validation_f1"] = [0.1, np.nan, 0.7, 0.3, 0.6, 0.2]
    learning_curves(history, tmp_path / "default.png")
    learning_curves(history, tmp_path / "third.png", best_epoch=3)
    learning_curves(history, tmp_path / "fifth.png", best_epoch=5)
    assert (tmp_path / "default.png").read_bytes() == (tmp_path / "third.png").read_bytes()
    assert (tmp_path / "default.png").read_bytes() != (tmp_path / "fifth.png").read_bytes()


def test_history_without_validation_is_drawn(tmp_path: Path) -> None:
    history = history_of(3)
    history[["validation_loss", "validation_f1", "validation_er"]] = np.nan
    learning_curves(history, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").exists()


def test_unusable_history_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="validation_er"):
        learning_curves(history_of(3).drop(columns="validation_er"), tmp_path / "curves.png")
    with pytest.raises(UserError, match="no row"):
        learning_curves(history_of(0), tmp_path / "curves.png")
    assert not list(tmp_path.iterdir())


def test_window_of_a_long_recording_holds_its_events() -> None:
    item = item_of(duration_s=100, events=[(2.0, 3.0, "a"), (61.0, 70.0, "b"), (80.0, 90.0, "c")])
    start, end = figures._window(item)
    assert end - start == MAX_WINDOW_S
    assert start <= 61.0
    assert end >= 90.0
    assert figures._window(item_of(duration_s=29.0)) == pytest.approx((0.0, 29.0))
    assert figures._window(item_of(duration_s=100)) == (0.0, MAX_WINDOW_S)


def test_labels_that_are_no_class_get_a_lane() -> None:
    item = item_of(events=[(0.0, 1.0, "z")])
    assert figures._lanes(item, (0.0, 5.0)) == ["a", "b", "c", "z"]
    assert figures._lanes(item, (2.0, 5.0)) == ["a", "b", "c"]


def test_of_too_many_classes_only_those_that_sound_get_a_lane() -> None:
    classes = tuple(f"c{k:03}" for k in range(200))
    item = item_of(events=[(0, 1, "c007")], predicted=[(2, 3, "c150")], classes=classes)
    assert figures._lanes(item, (0.0, 5.0)) == ["c007", "c150"]
    assert figures._lanes(item_of(classes=classes), (0.0, 5.0)) == ["(no event)"]


def test_reference_and_prediction_lie_at_their_times(tmp_path: Path) -> None:
    reference, predicted = [(1.0, 2.0, "b")], [(3.0, 4.0, "b")]
    boxes = {}
    for name, item in {
        "reference": item_of(events=reference),
        "predicted": item_of(predicted=predicted),
        "neither": item_of(),
    }.items():
        piano_rolls(tmp_path / f"{name}.png", [item])
        with Image.open(tmp_path / f"{name}.png") as picture:
            boxes[name] = np.asarray(picture.convert("RGB")).astype(int)
    columns = {
        name: np.flatnonzero(np.abs(boxes[name] - boxes["neither"]).sum(axis=(0, 2)))
        for name in ("reference", "predicted")
    }
    # 1 s to 2 s and 3 s to 4 s on one axis: equally wide, and two of their widths apart.
    width = 1.0 * np.ptp(columns["reference"])
    shift = columns["predicted"][0] - columns["reference"][0]
    assert np.ptp(columns["predicted"]) == pytest.approx(width, abs=2)  # pixels of antialiasing
    assert shift == pytest.approx(2 * width, abs=4)


@pytest.mark.parametrize(("n_classes", "duration_s"), [(3, 5.0), (16, 60.0)])
def test_rolls_of_many_sizes_are_drawn(tmp_path: Path, n_classes: int, duration_s: float) -> None:
    classes = tuple(f"class {k}" for k in range(n_classes))
    item = item_of(duration_s=duration_s, classes=classes, events=[(0.5, 1.5, "class 2")])
    item.log_mel[3] = -np.inf
    piano_rolls(tmp_path / "rolls.png", [item, item])
    with Image.open(tmp_path / "rolls.png") as picture:
        assert picture.size[0] == 9 * 150


def test_rolls_need_frames(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least one"):
        piano_rolls(tmp_path / "rolls.png", [])
    with pytest.raises(UserError, match=r"\(0, 40\)"):
        piano_rolls(tmp_path / "rolls.png", [item_of(duration_s=0.0)])


def test_figures_leave_the_users_matplotlib_alone(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    learning_curves(history_of(2), tmp_path / "curves.png")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.slow
def test_package_import_stays_light() -> None:
    code = (
        "import sys, sed_cli.reports\n"
        "assert not {'matplotlib', 'torch', 'pandas'} & set(sys.modules)\n"
        "import sed_cli.reports.simulation\n"
        "assert 'matplotlib' not in sys.modules\n"
        "import sed_cli.reports.figures\n"
        "assert not {'matplotlib.pyplot', 'pandas'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
