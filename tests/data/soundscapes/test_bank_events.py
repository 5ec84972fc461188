"""Events of a bank: found by energy, drawn evenly over sources, faults reported together."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from sed_cli.config.annotations import SPLITS
from sed_cli.data.soundscapes import bank_events as module
from sed_cli.data.soundscapes.bank import scan_bank
from sed_cli.data.soundscapes.bank_events import BankEvents, listen
from sed_cli.data.soundscapes.composing import compose_recording
from sed_cli.data.soundscapes.settings import SoundscapeSettings
from sed_cli.errors import DataError
from tests.data.soundscapes.banks import fold_bank, write_bank, write_clip

SMALL = SoundscapeSettings(
    n_train=3,
    n_validation=2,
    n_test=2,
    duration_s=3.0,
    sample_rate=8000,
    classes=("cat", "dog", "owl"),
    bank="1",
    bank_pause_s=0.5,
)


def hear(folder: Path, settings: SoundscapeSettings = SMALL, *, strict: bool = True) -> BankEvents:
    bank = scan_bank(folder, classes=settings.classes)
    return listen(bank, settings, strict=strict, n_workers=1)


def draw(
    events: BankEvents, label: str, split: str, number: int
) -> tuple[str, NDArray[np.float64]]:
    event = events.draw(label, split, np.random.SeedSequence(number))
    return event.source_id, event.waveform


@pytest.mark.parametrize("rate", [8000, 22050, 32000, 44100])
@pytest.mark.parametrize(("ending", "n_channels"), [("wav", 2), ("flac", 1), ("ogg", 1)])
def test_silence_is_trimmed_off_clips_of_any_rate_and_format(
    rate: int, ending: str, n_channels: int, tmp_path: Path
) -> None:
    write_clip(tmp_path / "dog" / f"a.{ending}", rate=rate, n_channels=n_channels)
    settings = replace(SMALL, classes=("dog",), n_validation=0, n_test=0, sample_rate=16000)
    source_id, waveform = draw(hear(tmp_path, settings), "dog", "train", 0)
    start, stop = map(int, source_id.split("[")[1].rstrip("]").split(":"))
    # From 0.1 to 0.4 s: half a window of 10 ms on each side; Vorbis at low rates has pre-echo.
    tolerance_s = 0.03 if ending == "ogg" else 0.008
    assert start / 16000 == pytest.approx(0.1, abs=tolerance_s)
    assert stop / 16000 == pytest.approx(0.4, abs=tolerance_s)
    assert len(waveform) == stop - start


def test_splits_share_no_source(tmp_path: Path) -> None:
    events = hear(fold_bank(tmp_path))
    heard = {
        split: {
            draw(events, label, split, number)[0].split("-")[1]
            for label in SMALL.classes
            for number in range(20)
        }
        for split in SPLITS
    }
    # Three folds for training and one for each other split, one source each in three classes.
    assert [len(heard[split]) for split in SPLITS] == [9, 3, 3]
    assert not heard["train"] & heard["test"]
    assert not heard["train"] & heard["validation"]
    assert not heard["validation"] & heard["test"]


def test_sources_are_equally_likely_however_many_takes_they_have(tmp_path: Path) -> None:
    takes = [f"dog/1-1-{take}.wav" for take in "ABCDEFGHI"]
    write_bank(tmp_path, [*takes, "dog/1-2-A.wav", "dog/2-3-A.wav", "dog/3-4-A.wav"])
    settings = replace(SMALL, classes=("dog",))
    events = hear(tmp_path, settings)
    drawn = Counter(draw(events, "dog", "train", n)[0].split("-")[1] for n in range(300))
    # 150 each with a standard deviation of 8.7; by clip, one of the two would have 30.
    assert abs(drawn["1"] - drawn["2"]) < 5 * 2 * 8.7


def test_the_same_stream_draws_the_same_event_in_any_process(tmp_path: Path) -> None:
    events = hear(fold_bank(tmp_path))
    copy = pickle.loads(pickle.dumps(events))
    for number in range(5):
        source_id, waveform = draw(events, "owl", "train", number)
        other_id, other = draw(copy, "owl", "train", number)
        assert source_id == other_id
        np.testing.assert_array_equal(waveform, other)


def test_a_clip_is_decoded_once_and_memory_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = hear(fold_bank(tmp_path))
    read: list[Path] = []
    read_clip = module.read_clip

    def count(path: Path, sample_rate: int) -> NDArray[np.float64]:
        read.append(path)
        return read_clip(path, sample_rate)

    monkeypatch.setattr(module, "read_clip", count)
    for number in range(60):
        draw(events, "dog", "train", number)
    assert len(read) == len(set(read)) == 6
    # Space for only two clips of 0.6 s: the result is the same, and no more are kept.
    monkeypatch.setattr(module, "CACHE_BYTES", 2 * 4 * 4800)
    small = hear(tmp_path)
    for number in range(30):
        np.testing.assert_array_equal(
            draw(small, "dog", "train", number)[1], draw(events, "dog", "train", number)[1]
        )
        assert small._waveforms._n_bytes <= 2 * 4 * 4800
        held = sum(waveform.nbytes for waveform in small._waveforms._held.values())
        assert held == small._waveforms._n_bytes


def test_events_of_a_clip_are_separate_where_the_pause_is_long(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    waveform = np.zeros(8000 * 3)
    for onset_s in (0.2, 0.6, 2.0):  # two barks that belong together, and one later
        start = round(onset_s * 8000)
        waveform[start : start + 1600] = 0.3 * rng.standard_normal(1600)
    (tmp_path / "dog").mkdir()
    soundfile.write(tmp_path / "dog" / "barks.flac", waveform, 8000)
    only = replace(SMALL, classes=("dog",), n_validation=0, n_test=0)
    lengths = {}
    for pause_s in (0.1, 0.5, 2.0):
        events = hear(tmp_path, replace(only, bank_pause_s=pause_s))
        drawn = [draw(events, "dog", "train", number)[1] for number in range(12)]
        lengths[pause_s] = {round(len(waveform) / 8000, 1) for waveform in drawn}
    assert lengths == {0.1: {0.2}, 0.5: {0.6, 0.2}, 2.0: {2.0}}


def test_an_offset_of_the_waveform_is_no_sound(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    waveform = np.full(8000, 0.2)
    waveform[4000:5600] += 0.3 * rng.standard_normal(1600)
    (tmp_path / "dog").mkdir()
    soundfile.write(tmp_path / "dog" / "a.wav", waveform, 8000)
    settings = replace(SMALL, classes=("dog",), n_validation=0, n_test=0)
    assert len(draw(hear(tmp_path, settings), "dog", "train", 0)[1]) == pytest.approx(1600, abs=90)


def test_broken_and_silent_clips_are_named_together_and_can_be_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold_bank(tmp_path)
    (tmp_path / "dog" / "1-101-C.wav").write_text("no sound", encoding="utf-8")
    whole = (tmp_path / "cat" / "3-3-A.wav").read_bytes()
    (tmp_path / "cat" / "1-1-C.wav").write_bytes(whole[:20])
    (tmp_path / "cat" / "1-1-D.wav").write_bytes(b"")
    soundfile.write(tmp_path / "owl" / "1-201-C.flac", np.zeros(8000), 8000)
    dither = np.random.default_rng(0).integers(-1, 2, 8000) / 32768
    soundfile.write(tmp_path / "owl" / "1-201-D.flac", dither, 8000)
    soundfile.write(tmp_path / "owl" / "1-201-E.wav", np.zeros(0), 8000)
    write_clip(tmp_path / "owl" / "1-201-F.flac", length_s=5.0)
    monkeypatch.setattr(module, "LONGEST_CLIP_S", 4.0)
    with pytest.raises(DataError) as caught:
        hear(tmp_path)
    message = str(caught.value)
    for part in (
        *("1-101-C.wav: cannot be read", "1-1-C.wav: cannot be read", "1-1-D.wav: cannot be read"),
        *("1-201-C.flac: is silent", "1-201-D.flac: is silent (-90 dBFS)", "1-201-E.wav: holds no"),
        *("1-201-F.flac: lasts 5 s", "data.strict=false: the clip is skipped"),
    ):
        assert part in message
    events = hear(tmp_path, strict=False)
    assert len(events.bank.clips) == 30
    assert caplog.text.count("the clip is skipped") == 7
    assert compose_recording(SMALL, "train", 0, events)[0].n_samples == SMALL.n_samples


def test_a_class_without_an_event_for_a_split_is_named(tmp_path: Path) -> None:
    fold_bank(tmp_path)
    for path in [*tmp_path.glob("owl/5-*"), *tmp_path.glob("dog/4-*")]:
        path.unlink()
    with pytest.raises(DataError) as caught:
        hear(tmp_path)
    assert "owl: no event for the test split" in str(caught.value)
    assert "dog: no event for the validation split" in str(caught.value)
    assert hear(tmp_path, replace(SMALL, n_validation=0, n_test=0)).classes == SMALL.classes
    with pytest.raises(DataError, match="cat: no event of at least 2 s for the train"):
        hear(tmp_path, replace(SMALL, event_duration_s=(2.0, 3.0)))


def test_events_of_a_bank_last_as_long_as_asked(tmp_path: Path) -> None:
    for fold in range(1, 6):
        write_clip(tmp_path / "dog" / f"{fold}-{fold}-A.wav", duration_s=2.0, length_s=2.5)
        write_clip(tmp_path / "dog" / f"{fold}-{fold}-B.wav", duration_s=0.1)
        write_clip(tmp_path / "dog" / f"{fold}-{fold}-C.wav", duration_s=0.4)
    settings = replace(
        SMALL, n_train=8, classes=("dog",), event_duration_s=(0.3, 0.8), empty_fraction=0.0
    )
    events = hear(tmp_path, settings)
    lengths = [
        (event.offset - event.onset) / 8000
        for number in range(8)
        for event in compose_recording(settings, "train", number, events)[0].events
    ]
    assert len(lengths) > 15
    assert min(lengths) >= 0.3 - 1 / 8000
    assert max(lengths) <= 0.8 + 1 / 8000
    assert np.std(lengths) > 0.05


def test_signal_to_noise_ratio_is_that_of_the_scene(tmp_path: Path) -> None:
    settings = replace(SMALL, polyphony=1, snr_db=(3.0, 9.0), empty_fraction=0.0)
    events = hear(fold_bank(tmp_path), settings)
    n_events = 0
    for number in range(settings.n_train):
        scene, mixture = compose_recording(settings, "train", number, events)
        assert np.abs(mixture.waveform).max() < 1.0
        for event in scene.events:
            interval = slice(event.onset, event.offset)
            signal, noise = (
                np.mean(part[interval] ** 2) for part in (mixture.events, mixture.background)
            )
            # Without overlap the definition holds up to rounding of doubles.
            assert 10 * np.log10(signal / noise) == pytest.approx(event.snr_db, abs=1e-9)
            n_events += 1
    assert n_events > 3


def test_annotations_are_tight_around_audible_sound(tmp_path: Path) -> None:
    settings = replace(SMALL, polyphony=1, empty_fraction=0.0)
    events = hear(fold_bank(tmp_path), settings)
    for number in range(settings.n_train):
        scene, mixture = compose_recording(settings, "train", number, events)
        annotated = np.zeros(scene.n_samples, dtype=bool)
        for event in scene.events:
            annotated[event.onset : event.offset] = True
            sound = mixture.events[event.onset : event.offset]
            loudest = np.mean(sound**2)
            # Within 20 ms of each edge it is no more than 30 dB below its mean.
            assert np.mean(sound[:160] ** 2) > 1e-3 * loudest
            assert np.mean(sound[-320:] ** 2) > 1e-3 * loudest
        assert not mixture.events[~annotated].any()
