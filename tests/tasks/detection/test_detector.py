"""A detector on a user's audio: files and arrays, the same events as ``sedtf eval``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from sed_cli.audio import read_audio
from sed_cli.data.annotations import read_annotations
from sed_cli.errors import DataError
from sed_cli.tasks.detection.detector import Detector
from tests.conftest import Sedtf


def sound(n_samples: int = 48_000) -> np.ndarray:
    random = np.random.default_rng(0)
    level = np.repeat(random.uniform(0, 0.5, -(-n_samples // 4000)), 4000)[:n_samples]
    return (level * random.uniform(-1, 1, n_samples)).astype(np.float32)


def test_predicted_events_are_those_of_eval(
    lively: Path, detector: Detector, recordings: Path, sedtf: Sedtf, tmp_path: Path
) -> None:
    assert sedtf("eval", f"checkpoint={lively}", f"output_dir={tmp_path / 'eval'}") == 0

    table = read_annotations(tmp_path / "eval" / "events.tsv").events
    assert sum(len(events) for events in table.values()) > 3
    for name, events in table.items():
        predicted = detector.predict(recordings / "audio" / name)
        assert [event.label for event in predicted] == [event.label for event in events]
        for ours, written in zip(predicted, events, strict=True):
            # The table holds microseconds.
            assert ours[:2] == pytest.approx(written[:2], abs=1e-6)


def test_a_file_and_its_samples_give_the_same(detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    soundfile.write(path, sound(), 16000, subtype="FLOAT")

    np.testing.assert_array_equal(detector.probabilities(path), detector.probabilities(sound()))
    assert detector.predict(str(path)) == detector.predict(sound(), 16000)
    assert detector.predict(path) == detector.predict(sound().astype(np.float64))
    assert detector.predict(path) == detector.predict(sound().tolist())


@pytest.mark.parametrize("rate", [8000, 44100])
def test_other_rates_and_channels_are_brought_to_the_detectors(
    rate: int, detector: Detector, tmp_path: Path
) -> None:
    stereo = np.stack([sound(), 0.5 * sound()], axis=1)
    path = tmp_path / "sound.wav"
    soundfile.write(path, stereo, rate, subtype="FLOAT")

    np.testing.assert_array_equal(
        detector.probabilities(stereo, rate), detector.probabilities(path)
    )
    assert detector.predict(stereo, rate) == detector.predict(path)
    assert len(detector.probabilities(path)) == detector.log_mel.n_frames(
        len(read_audio(path, 16000))
    )


def test_probabilities_are_probabilities_and_events_lie_within_the_recording(
    detector: Detector,
) -> None:
    probabilities = detector.probabilities(sound(50_001))

    assert probabilities.shape == (1 + 50_001 // 512, 2)
    assert probabilities.dtype == np.float32
    assert 0 <= probabilities.min() < 0.5 < probabilities.max() <= 1
    events = detector.predict(sound(50_001))
    assert events == sorted(events)
    assert all(0 <= e.onset_s < e.offset_s <= 50_001 / 16000 for e in events)
    assert {event.label for event in events} <= {"high", "low"}


def test_an_event_that_lasts_to_the_end_ends_there(detector: Detector) -> None:
    with torch.no_grad():
        detector.model.readout.bias.fill_(1e3)  # everything, always

    events = detector.predict(sound(48_000))

    assert [tuple(event) for event in events] == [(0.0, 3.0, "high"), (0.0, 3.0, "low")]


def test_the_same_audio_gives_the_same_events_and_leaves_the_mode(detector: Detector) -> None:
    detector.model.train()
    first = detector.probabilities(sound())

    np.testing.assert_array_equal(detector.probabilities(sound()), first)
    assert detector.model.training
    assert not torch.from_numpy(first).requires_grad


@pytest.mark.parametrize("n_samples", [1, 100, 511, 512])
def test_very_short_audio_is_no_fault(n_samples: int, detector: Detector) -> None:
    assert len(detector.probabilities(sound(n_samples))) == 1 + n_samples // 512


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (np.zeros(0, np.float32), "shape"),
        (np.zeros((100, 2, 2), np.float32), "shape"),
        (np.float32(1.0), "shape"),
        (np.zeros((2, 16000), np.float32), "transpose"),
        (np.zeros(16000, np.int16), "divide 16-bit integers by 32768"),
        (np.full(16000, np.nan, np.float32), "not finite"),
    ],
    ids=["empty", "three axes", "scalar", "channels first", "integers", "nan"],
)
def test_arrays_that_are_no_waveform_are_refused(
    waveform: Any, message: str, detector: Detector
) -> None:
    with pytest.raises(DataError, match=message):
        detector.predict(waveform)


def test_a_missing_file_is_named(detector: Detector, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.wav: no such audio file"):
        detector.predict(tmp_path / "nowhere.wav")


@pytest.mark.parametrize(
    ("trained", "used"), [("hard", "hard"), ("sampled", "hard"), ("soft",) * 2]
)
def test_only_soft_feedback_is_kept_from_training(
    trained: str, used: str, detector: Detector
) -> None:
    made = Detector(
        detector.model, log_mel=detector.log_mel, classes=detector.classes, feedback=trained
    )

    assert made.feedback.name == used
