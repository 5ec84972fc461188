"""The picture of a data set: drawn for any content, with everything in its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from sed_cli.data.manifest import Clip, Manifest
from sed_cli.data.statistics import describe
from sed_cli.reports import style
from sed_cli.tasks.detection.inspection import figure
from sed_cli.tasks.detection.inspection.figure import MAX_CLASSES, draw_set
from tests.tasks.detection.inspection.conftest import MakeSet


def axes_of(manifest: Manifest) -> dict[str, Axes]:
    with style.applied():
        picture = figure._Picture("a set", describe(manifest))
    return {axes.get_title(loc="left"): axes for axes in picture.figure.axes}


@pytest.mark.parametrize(
    "n_classes", [9, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 75))]
)
def test_sets_of_any_number_of_classes_are_drawn(
    n_classes: int, make_set: MakeSet, tmp_path: Path, drawn: None
) -> None:
    draw_set(tmp_path / "set.png", "a $et 音", describe(make_set(n_classes)))
    with Image.open(tmp_path / "set.png") as image:
        width, height = image.size
    assert 1000 < width < 3200
    assert 500 < height < 3200


def test_sets_without_events_classes_or_time_are_drawn(tmp_path: Path, drawn: None) -> None:
    silent = Clip(name="x", path=Path("x"), duration_s=1.0, events=())
    for classes in ((), ("a",)):
        for entries in ([], [silent]):
            found = describe(Manifest(classes=classes, splits={"train": entries}))
            draw_set(tmp_path / "set.png", "a set", found)


def test_bars_are_the_events_of_each_split(make_set: MakeSet) -> None:
    manifest = make_set(5)
    found = describe(manifest)
    bars = axes_of(manifest)["classes"].containers

    for container, split in zip(bars, found.splits.values(), strict=True):
        widths = [bar.get_width() for bar in container]
        assert widths == [one.n_events for one in split.classes]


def test_matrix_holds_the_shares_of_successors(make_set: MakeSet) -> None:
    manifest = make_set(5)
    counts = describe(manifest).overall.syntax.counts
    (image,) = axes_of(manifest)["which class follows which"].images

    np.testing.assert_allclose(
        np.asarray(image.get_array()), counts / counts.sum(axis=1, keepdims=True)
    )


def test_of_many_classes_the_most_frequent_are_drawn(make_set: MakeSet) -> None:
    manifest = make_set(MAX_CLASSES + 15)
    found = describe(manifest).overall
    axes = axes_of(manifest)[f"{MAX_CLASSES} of {MAX_CLASSES + 15} classes"]
    shown = sum(bar.get_width() for container in axes.containers for bar in container)

    assert shown == sum(sorted(one.n_events for one in found.classes)[-MAX_CLASSES:])
