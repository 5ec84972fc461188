"""Published scores of another system: read, decoded with values tuned on other files, scored."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from sed_cli.config.evaluation import EvaluationConfig
from sed_cli.data.annotations import Event, write_annotations
from sed_cli.data.score_tables import read_score_set
from sed_cli.decoding.false_alarms import bounded
from sed_cli.errors import DataError
from sed_cli.tasks.detection.given_scores import _fitted, _parts
from tests.conftest import Sedtf
from tests.metrics.test_curves import library

HOP_S = 0.05
LABELS = ("cat", "dog", "onset")


def write_set(folder: Path, n_files: int = 6, duration_s: float = 9.98) -> None:
    """Noisy scores of events with dips, as from another system."""
    random = np.random.default_rng(0)
    (folder / "scores").mkdir(parents=True)
    truth, rows = {}, ["filename\tduration"]
    for index in range(n_files):
        n_frames = 200
        curve = random.uniform(0.0, 0.1, (n_frames, len(LABELS)))
        curve[random.random(curve.shape) < 0.03] = 0.99  # single frames
        events = []
        for column, label in enumerate(LABELS[: 1 + index % 3]):
            first = int(random.integers(5, 60)) + 40 * column
            events.append(Event(first * HOP_S, (first + 60) * HOP_S, label))
            curve[first : first + 60, column] = random.uniform(0.4, 0.95, 60)
        truth[f"a.{index}.wav"] = sorted(events)
        rows.append(f"a.{index}.wav\t{duration_s}")
        lines = ["\t".join(("onset", "offset", *LABELS))]
        lines += [
            "\t".join(f"{x:.3f}" for x in (t * HOP_S, (t + 1) * HOP_S, *row))
            for t, row in enumerate(curve)
        ]
        (folder / "scores" / f"a.{index}.tsv").write_text("\n".join(lines) + "\n")
    write_annotations(folder / "truth.tsv", truth)
    (folder / "durations.tsv").write_text("\n".join(rows) + "\n")


def read(folder: Path, *, durations: bool = True):  # type: ignore[no-untyped-def]
    given = folder / "durations.tsv" if durations else None
    return read_score_set(folder / "scores", folder / "truth.tsv", given)


def test_scores_annotations_and_durations_meet_by_name(tmp_path: Path) -> None:
    write_set(tmp_path)

    given = read(tmp_path)

    assert given.data.classes == LABELS
    assert given.data.hop_s == pytest.approx(HOP_S)
    recordings = given.data.splits["test"]
    assert [each.name for each in recordings] == [f"a.{index}" for index in range(6)]
    assert {each.duration_s for each in recordings} == {9.98}
    assert all(given.scores[each.name].shape == (200, 3) for each in recordings)
    assert [len(each.events) for each in recordings] == [1, 2, 3, 1, 2, 3]
    first = recordings[0].events[0]
    active = np.flatnonzero(recordings[0].activities[:][:, 0])
    assert (active[0], active[-1] + 1) == (round(first[0] / HOP_S), round(first[1] / HOP_S))


def test_without_durations_a_recording_ends_with_its_scores(tmp_path: Path) -> None:
    write_set(tmp_path, n_files=1)

    (recording,) = read(tmp_path, durations=False).data.splits["test"]

    assert recording.duration_s == pytest.approx(10.0)


def test_a_recording_that_no_annotation_names_has_no_events(tmp_path: Path) -> None:
    write_set(tmp_path, n_files=2)
    write_annotations(tmp_path / "truth.tsv", {"a.0.wav": [Event(1.0, 2.0, "cat")]})

    assert [len(each.events) for each in read(tmp_path).data.splits["test"]] == [1, 0]


def test_tables_of_predict_are_read(tmp_path: Path) -> None:
    write_set(tmp_path, n_files=1)
    path = tmp_path / "scores" / "a.0.tsv"
    path.rename(path.with_name("a.0.scores.tsv"))
    write_annotations(path.with_name("a.0.events.tsv"), {"a.0.wav": []})

    assert read(tmp_path).data.splits["test"][0].name == "a.0"


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("scores/a.0.tsv", "onset\toffset", "start\tend", "header of start, end"),
        ("scores/a.0.tsv", "\tcat", "\tcow", "other classes than"),
        ("scores/a.0.tsv", "0.100\t0.150\t", "0.100\t0.150\t-", "expected probabilities"),
        ("scores/a.0.tsv", "0.100\t0.150\t", "0.100\t0.150\tnan\t", "not a table of scores"),
        ("scores/a.0.tsv", "0.100\t0.150\t", "0.120\t0.150\t", "are not contiguous"),
        ("truth.tsv", "a.1.wav", "b.1.wav", "no scores of b.1"),
        ("truth.tsv", "cat", "cow", "no scores of the class cow"),
        ("durations.tsv", "a.1.wav", "b.1.wav", "no duration of a.1"),
        ("durations.tsv", "\tduration", "\tlength", "columns filename and duration"),
    ],
)
def test_what_does_not_fit_is_refused_by_file(
    tmp_path: Path, file: str, old: str, new: str, said: str
) -> None:
    write_set(tmp_path, n_files=3)
    path = tmp_path / file
    path.write_text(path.read_text().replace(old, new))

    with pytest.raises(DataError, match=said):
        read(tmp_path)


def test_thresholds_keep_a_bound_on_false_alarms(tmp_path: Path) -> None:
    write_set(tmp_path)
    given = read(tmp_path)
    recordings = given.data.splits["test"]
    free, held = (
        _fitted(given, EvaluationConfig(max_false_alarms_per_hour=bound), recordings)
        for bound in (None, 0.0)
    )
    pairs = [(each, given.scores[each.name]) for each in recordings]
    assert held == bounded(free, pairs, 0.0) != free


def test_no_file_is_decoded_by_what_was_tuned_on_it(tmp_path: Path) -> None:
    write_set(tmp_path)
    recordings = read(tmp_path).data.splits["test"]

    folds = _parts(recordings, 3, None)
    (halves,) = _parts(recordings, 5, 0.5)

    scored = [each.name for _, fold in folds for each in fold]
    assert sorted(scored) == [each.name for each in recordings]
    for tuned_on, fold in (*folds, halves):
        names = {each.name for each in tuned_on}
        assert not names & {each.name for each in fold}
        assert len(names) + len(fold) == len(recordings)
    assert len(halves[0]) == 3


def test_boxes_of_given_scores_are_better_than_the_scores(
    tmp_path: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str], drawn: None
) -> None:
    library()
    write_set(tmp_path)
    words = [f"scores={tmp_path}/scores", f"annotations={tmp_path}/truth.tsv"]
    words += [f"durations={tmp_path}/durations.tsv", "folds=3", "evaluation.psds=true"]
    out = tmp_path / "out"

    code = sedtf("eval", *words, "evaluation.decoder=boxes", f"output_dir={out}")

    said = capfd.readouterr()
    assert code == 0, said.err
    assert "6 files, scores as given, boxes" in said.out
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["psds"]["psds1"]["psds"] > metrics["psds"]["as_given"]["psds1"] + 0.2
    assert metrics["folds"] == 3
    with (out / "boxes.tsv").open() as file:
        boxes = list(csv.DictReader(file, delimiter="\t"))
    assert {row["event_label"] for row in boxes} == set(LABELS)
    assert all(0 < float(row["confidence"]) <= 1 for row in boxes)
    assert json.loads((out / "postprocessing.json").read_text())["decoder"] == "boxes"
    assert sedtf("compare", str(out), f"output_dir={tmp_path}/compared") == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "checkpoint is not set"),
        (["scores=s"], "add annotations=FILE"),
        (["scores=s", "annotations=a", "checkpoint=c"], "takes no checkpoint"),
        (["checkpoint=c", "annotations=a"], "need scores=FOLDER"),
        (["scores=s", "annotations=a", "evaluation.calibrate=auto"], "needs a detector"),
        (["scores=nowhere", "annotations=a"], "not a folder with tables"),
    ],
)
def test_what_does_not_go_together_is_reported(
    words: list[str], said: str, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sedtf("eval", *words) == 2
    assert said in capfd.readouterr().err
