"""Figures over all thresholds against sed_scores_eval called directly; the extra is optional."""

from __future__ import annotations

import csv
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sed_cli.data.annotations import Event
from sed_cli.errors import UserError
from sed_cli.metrics import curves
from sed_cli.metrics.curves import Scored, merged, threshold_free
from sed_cli.tasks.detection import evaluate
from sed_cli.tasks.detection.curves import write_curves
from tests.conftest import Sedtf

HOP_S = 0.04
CLASSES = ("cat", "dog", "onset", "rain")  # "onset" is a column of its own in sed_scores_eval


def library() -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*pkg_resources.*")
        return pytest.importorskip("sed_scores_eval", reason="sedtf[psds] is not installed")


def make_recordings(n_files: int = 6) -> list[Scored]:
    """Create references and scores that correlate with them; no file has rain."""
    random = np.random.default_rng(3)
    recordings = []
    for index in range(n_files):
        n_frames = 220 + 10 * index
        logits = random.normal(-2.0, 1.0, (n_frames, 4))
        reference = []
        for column, label in enumerate(CLASSES[:3]):
            for start in random.uniform(0.1, 6.5, random.integers(1, 4)):
                end = start + random.uniform(0.2, 1.5)
                reference.append(Event(round(start, 3), round(end, 3), label))
                heard = slice(int(start / HOP_S) + random.integers(-3, 4), int(end / HOP_S))
                logits[heard, column] += random.uniform(1.0, 5.0)
        kernel = np.ones(5) / 5
        logits = np.stack([np.convolve(x, kernel, "same") for x in logits.T], axis=1)
        probabilities = (1 / (1 + np.exp(-logits))).astype(np.float32)
        duration_s = (n_frames - 0.5) * HOP_S
        recordings.append(Scored(f"{index}.wav", duration_s, sorted(reference), probabilities))
    return recordings


def as_library_takes_it(recordings: list[Scored]) -> tuple[Any, Any, Any]:
    """Write the inputs of sed_scores_eval by hand: frames, merged references, lengths."""
    create = library().base_modules.scores.create_score_dataframe
    scores, truth = {}, {}
    for name, duration_s, reference, probabilities, _ in recordings:
        times = np.minimum(np.arange(len(probabilities) + 1) * HOP_S, duration_s)
        scores[name] = create(probabilities[:, :3].astype(float), times, ["cat", "dog", "third"])
        truth[name] = []
        for label, stand_in in (("cat", "cat"), ("dog", "dog"), ("onset", "third")):
            own = sorted(e for e in reference if e.label == label)
            while own:
                start, end, _ = own.pop(0)
                while own and own[0].onset_s <= end:
                    end = max(end, own.pop(0).offset_s)
                truth[name].append((start, end, stand_in))
    return scores, truth, {r.name: r.duration_s for r in recordings}


def test_psds_is_that_of_the_library_called_directly() -> None:
    psds = library().intersection_based.psds
    recordings = make_recordings()
    inputs = as_library_takes_it(recordings)

    ours = threshold_free(recordings, CLASSES, HOP_S)

    # The scenarios as DCASE task 4 defines them.
    first = psds(*inputs, dtc_threshold=0.7, gtc_threshold=0.7, alpha_st=1.0, max_efpr=100.0)
    second = psds(
        *inputs,
        **{"dtc_threshold": 0.1, "gtc_threshold": 0.1, "cttc_threshold": 0.3},
        **{"alpha_ct": 0.5, "alpha_st": 1.0, "max_efpr": 100.0},
    )
    for name, theirs in (("psds1", first), ("psds2", second)):
        assert ours.figures[name]["psds"] == pytest.approx(theirs[0], abs=1e-9)
        assert 0 < theirs[0] < 1
        of_classes = ours.figures[name]["per_class"]
        assert of_classes["onset"] == pytest.approx(theirs[1]["third"], abs=1e-9)
        assert set(of_classes) == {"cat", "dog", "onset"}  # it never rains
        every = ours.psd_roc[name][0]
        assert every.label == ""
        np.testing.assert_allclose(every.tp_ratio, theirs[2][0], atol=1e-9)
        np.testing.assert_allclose(every.fp_per_hour, theirs[2][1], atol=1e-9)


def test_points_of_segments_are_those_of_the_library_called_directly() -> None:
    theirs = library()
    recordings = make_recordings()
    ours = threshold_free(recordings, CLASSES, HOP_S)

    ap, of_classes = theirs.segment_based.average_precision(
        *as_library_takes_it(recordings), segment_length=1.0
    )

    assert ours.figures["segment_average_precision"]["mean"] == pytest.approx(ap["mean"], abs=1e-9)
    precision, recall, threshold, _ = of_classes["dog"]
    points = {round(t, 9): (p, r) for t, p, r in zip(threshold, precision, recall, strict=True)}
    dog = next(of for of in ours.points["segment"] if of.label == "dog")
    assert len(dog.threshold) > 50
    for at, p, r, f1 in zip(dog.threshold, dog.precision, dog.recall, dog.f1, strict=True):
        assert (p, r) == pytest.approx(points[round(at, 9)], abs=1e-9)
        assert f1 == pytest.approx(2 * p * r / (p + r) if p + r else 0.0, abs=1e-9)


def test_a_point_is_what_sed_eval_finds_at_its_threshold() -> None:
    """Two libraries on our events: F1 at 0.5 from the curve, and by events through sed_eval."""
    from sed_cli.decoding.thresholds import ThresholdDecoder
    from sed_cli.metrics.detection import describe
    from tests.metrics.counted import sed_eval_counts

    library()
    recordings = make_recordings()
    ours = threshold_free(recordings, CLASSES, HOP_S)
    plain = ThresholdDecoder.plain(CLASSES, HOP_S)
    counts = sed_eval_counts(
        {r.name: [Event(*e, label) for label in CLASSES for e in merged(r.reference, label)]
         for r in recordings},
        {r.name: plain.events(r.probabilities, r.duration_s) for r in recordings},
        {r.name: r.duration_s for r in recordings},
        CLASSES,
    )  # fmt: skip

    for kind, at in (("segment", 0.5), ("event", 0.505)):  # the scores of events are rounded
        of_classes = describe(counts[kind], CLASSES)[1]
        for of in ours.points[kind]:
            index = np.searchsorted(of.threshold, at)
            tolerance = 1e-9 if kind == "segment" else 0.05  # frames between 0.5 and 0.505 differ
            assert of.f1[index] == pytest.approx(of_classes[of.label]["f1"], abs=tolerance)


def test_touching_and_overlapping_events_are_one() -> None:
    events = [(0.0, 1.0), (1.0, 1.5), (1.4, 1.45), (2.0, 2.0), (3.0, 3.5)]

    joined = merged([Event(*e, "cat") for e in events] + [Event(0.0, 9.0, "dog")], "cat")

    assert joined == [(0.0, 1.5), (2.0, 2.000001), (3.0, 3.5)]


def test_one_class_has_nothing_to_be_mistaken_for() -> None:
    library()
    only = [r._replace(reference=[e for e in r.reference if e.label == "dog"])
            for r in make_recordings()]  # fmt: skip

    figures = threshold_free(only, CLASSES, HOP_S).figures

    assert set(figures["psds2"]["per_class"]) == {"dog"}
    assert figures["psds1"]["psds"] <= figures["psds2"]["psds"] <= 1.0


def test_nothing_annotated_has_no_curves(tmp_path: Path) -> None:
    library()
    quiet = [r._replace(reference=[]) for r in make_recordings()]

    found = threshold_free(quiet, CLASSES, HOP_S)
    write_curves(tmp_path, found)

    assert found.figures == {}
    assert not list(tmp_path.iterdir())


def test_eval_writes_tables_and_figures(
    trained_run: Path,
    sedtf: Sedtf,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    drawn: None,
) -> None:
    library()
    monkeypatch.setattr(evaluate, "piano_rolls", lambda *items: None)  # not those of events
    folder = Path("eval")

    code = sedtf("eval", f"checkpoint={trained_run}", "evaluation.psds=true", "output_dir=eval")

    assert code == 0
    assert "PSDS1" in capfd.readouterr().out
    metrics = json.loads((folder / "metrics.json").read_text())
    assert 0 <= metrics["psds"]["psds1"]["psds"] <= metrics["psds"]["psds2"]["psds"] <= 1
    for name, columns in (
        ("psd_roc.csv", "scenario,class,fp_per_hour,tp_ratio"),
        ("thresholds.csv", "kind,class,threshold,precision,recall,f1"),
    ):
        with (folder / name).open() as file:
            rows = list(csv.DictReader(file))
        assert ",".join(rows[0]) == columns
        assert len(rows) > 4
    for name in ("psd_roc", "thresholds"):
        for ending, start in ((".png", b"\x89PNG"), (".pdf", b"%PDF")):
            assert (folder / "figures" / f"{name}{ending}").read_bytes().startswith(start)


def test_a_missing_library_is_reported_in_one_line(
    trained_run: Path,
    sedtf: Sedtf,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sed_scores_eval", None)  # as if it were not there

    with pytest.raises(UserError, match=r"pip install 'sedtf\[psds\]'"):
        curves._import()
    assert sedtf("eval", f"checkpoint={trained_run}", "evaluation.psds=true") == 2
    said = capfd.readouterr().err
    assert "pip install 'sedtf[psds]'" in said
    assert said.count("\n") == 1


# ------------------------------------------------------------------------------------ boxes


def test_boxes_score_as_frames_of_their_confidence_do() -> None:
    """Events on the grid of frames, apart from each other: there must be no difference."""
    library()
    recordings = make_recordings()
    random = np.random.default_rng(3)
    as_boxes, as_frames = [], []
    for recording in recordings:
        n_frames = len(recording.probabilities)
        values = np.zeros((n_frames, len(CLASSES)))
        boxes = []
        for column, label in enumerate(CLASSES):
            for first in range(column, n_frames - 12, 15):
                confidence = round(float(random.uniform(0.05, 0.95)), 2)
                values[first : first + 9, column] = confidence
                boxes.append((first * HOP_S, (first + 9) * HOP_S, label, confidence))
        as_boxes.append(recording._replace(boxes=boxes))
        as_frames.append(recording._replace(probabilities=values))
    ours, theirs = (threshold_free(each, CLASSES, HOP_S).figures for each in (as_boxes, as_frames))
    for name in ("psds1", "psds2"):
        assert ours[name]["psds"] == pytest.approx(theirs[name]["psds"], abs=1e-9)
    assert 0 < ours["psds2"]["psds"] < 1


def test_touching_boxes_stay_two_events() -> None:
    """A right box is found below its confidence, even if a more confident wrong one follows."""
    library()
    nothing = np.zeros((0, 1))
    files = []
    for index in range(20):
        reference = [Event(1.0, 2.0, "a")]
        boxes = [(1.0, 2.0, "a", 0.5), (2.0, 5.0, "a", 0.9)]
        files.append(Scored(str(index), 3600.0, reference, nothing, boxes))
    figures = threshold_free(files, ["a"], 0.02).figures
    assert figures["psds1"]["psds"] == pytest.approx(0.99)  # one of 100 false positives an hour
