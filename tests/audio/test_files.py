"""Reading recordings: all formats give the same waveform, all faults one clear message."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from sed_cli.audio import AudioReader, audio_blocks, duration_s, read_audio, read_excerpt
from sed_cli.errors import DataError, UserError

RATE = 16_000


def sine(frequency: float, rate: int, length_s: float = 1.0) -> NDArray[np.float64]:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(rate * length_s)) / rate)


def spectrum_peak(waveform: NDArray[np.float32], rate: int) -> tuple[float, float]:
    """Frequency in Hz and amplitude of the strongest tone in the middle half of a second."""
    middle = waveform[len(waveform) // 4 :][: rate // 2]
    window = np.hanning(len(middle))
    spectrum = 2 * np.abs(np.fft.rfft(middle * window)) / window.sum()
    index = int(spectrum.argmax())
    return index * rate / len(middle), float(spectrum[index])


@pytest.mark.parametrize(
    ("ending", "subtype", "tolerance"),
    [
        ("wav", "PCM_U8", 1 / 127),  # a step of 8 bits
        ("wav", "PCM_16", 1 / 32767),
        ("wav", "PCM_24", 1e-6),
        ("wav", "FLOAT", 1e-7),
        ("wav", "DOUBLE", 1e-7),
        ("flac", "PCM_16", 1 / 32767),
        ("flac", "PCM_24", 1e-6),
        ("ogg", "VORBIS", 0.03),  # a lossy format
    ],
)
@pytest.mark.parametrize("n_channels", [1, 2, 6])
def test_every_format_gives_the_mean_of_its_channels(
    ending: str, subtype: str, tolerance: float, n_channels: int, tmp_path: Path
) -> None:
    path = tmp_path / f"sound.{ending}"
    shares = np.linspace(0.2, 1.0, n_channels)
    soundfile.write(path, sine(440, RATE)[:, None] * shares, RATE, subtype=subtype)

    waveform = read_audio(path, RATE)

    assert waveform.dtype == np.float32
    assert waveform.shape == (RATE,)
    np.testing.assert_allclose(waveform, sine(440, RATE) * shares.mean(), atol=tolerance)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000])
def test_resampling_keeps_length_pitch_and_level(rate: int, tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    soundfile.write(path, sine(1000, rate), rate, subtype="FLOAT")

    waveform = read_audio(path, RATE)

    assert abs(len(waveform) - RATE) <= 1
    frequency, amplitude = spectrum_peak(waveform, RATE)
    assert frequency == pytest.approx(1000, abs=2.0)  # a bin of the half second is 2 Hz
    assert amplitude == pytest.approx(0.5, rel=0.01)  # the resampler's passband is flat


def test_resampling_lets_nothing_alias(tmp_path: Path) -> None:
    path = tmp_path / "high.wav"
    soundfile.write(path, sine(11_000, 48_000), 48_000, subtype="FLOAT")  # above RATE / 2

    middle = read_audio(path, RATE)[RATE // 4 : -RATE // 4]

    assert np.abs(middle).max() < 1e-4  # -80 dB below full scale


def test_duration_is_that_of_the_file(tmp_path: Path) -> None:
    for ending, rate in (("wav", 8000), ("flac", 44100), ("ogg", 22050)):
        path = tmp_path / f"a.{ending}"
        soundfile.write(path, sine(440, rate, 1.25), rate)
        assert duration_s(path) == pytest.approx(1.25, abs=1 / rate)


def _broken(kind: str, folder: Path) -> Path:
    path = folder / "broken.wav"
    match kind:
        case "missing" | "folder":
            if kind == "folder":
                path.mkdir()
        case "text":
            path.write_text("onset\toffset\n")
        case "nothing":
            path.write_bytes(b"")
        case "no samples":
            soundfile.write(path, np.zeros(0), RATE)
        case "less than a sample":
            soundfile.write(path, np.ones(1), 44100)
        case "not finite":
            soundfile.write(path, np.array([0.0, np.nan, np.inf]), RATE, subtype="FLOAT")
        case "headless":
            path = folder / "broken.raw"
            path.write_bytes(b"\0" * 100)
        case _:
            path = folder / f"broken.{kind.split()[-1]}"
            soundfile.write(path, np.random.default_rng(0).uniform(-1, 1, RATE), RATE)
            path.write_bytes(path.read_bytes()[: 10_000 if kind.startswith("half") else 60])
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "missing",
        "folder",
        "text",
        "nothing",
        "no samples",
        "less than a sample",
        "not finite",
        "headless",
        "half flac",
        "start of flac",
    ],
)
def test_a_file_that_cannot_be_used_is_named_in_one_line(kind: str, tmp_path: Path) -> None:
    path = _broken(kind, tmp_path)

    with pytest.raises(DataError) as raised:
        read_audio(path, RATE)

    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", ["missing", "folder", "text", "nothing", "headless"])
def test_duration_of_what_is_no_audio_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        duration_s(_broken(kind, tmp_path))


def test_what_can_be_decoded_of_a_damaged_recording_is_used_where_that_is_asked_for(
    tmp_path: Path,
) -> None:
    told: list[str] = []
    path = tmp_path / "damaged.flac"
    samples = np.random.default_rng(0).uniform(-1, 1, 10 * RATE)
    soundfile.write(path, samples, RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with AudioReader(path, salvage=told.append) as reader:
        decoded = np.concatenate(list(reader.blocks(RATE)))

    # All except the block that is cut.
    assert 4.5 < reader.duration_s == len(decoded) / RATE < 5.1
    np.testing.assert_allclose(decoded, samples[: len(decoded)], atol=1 / 32767)
    (warning,) = told
    assert warning.startswith(f"{path}: breaks off after {reader.duration_s:.2f} s of 10.00 s")


def test_a_recording_of_which_nothing_can_be_decoded_is_refused_even_so(tmp_path: Path) -> None:
    told: list[str] = []
    with AudioReader(_broken("half flac", tmp_path), salvage=told.append) as reader:
        assert len(np.concatenate(list(reader.blocks(RATE)))) > 1000
    path = tmp_path / "head.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-1, 1, 10 * RATE), RATE)
    path.write_bytes(path.read_bytes()[:2000])

    with (
        AudioReader(path, salvage=told.append) as reader,
        pytest.raises(DataError, match=r"head\.flac"),
    ):
        list(reader.blocks(RATE))


@pytest.mark.parametrize("rate", [RATE, 22050])
def test_channels_are_mixed_or_kept_apart(rate: int, tmp_path: Path) -> None:
    path = tmp_path / "three.wav"
    voices = np.stack([sine(f, rate) for f in (300, 700, 1100)], axis=1)
    soundfile.write(path, voices, rate, subtype="FLOAT")
    for column, frequency in enumerate((300, 700, 1100)):
        soundfile.write(tmp_path / f"{column}.wav", sine(frequency, rate), rate, subtype="FLOAT")
    singles = [read_audio(tmp_path / f"{column}.wav", RATE) for column in range(3)]

    each = np.concatenate(list(audio_blocks(path, RATE, "each")))
    first = np.concatenate(list(audio_blocks(path, RATE, "first")))

    np.testing.assert_array_equal(each, np.stack(singles, axis=1))
    np.testing.assert_array_equal(first, singles[0])
    np.testing.assert_allclose(read_audio(path, RATE), each.mean(axis=1), atol=1e-6)


def test_a_pipe_is_read_like_a_file(tmp_path: Path) -> None:
    for ending in ("wav", "flac"):
        path, pipe = tmp_path / f"sound.{ending}", tmp_path / f"pipe.{ending}"
        soundfile.write(path, sine(440, RATE), RATE)
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=(path.read_bytes(),))
        writer.start()

        np.testing.assert_array_equal(read_audio(pipe, RATE), read_audio(path, RATE))
        writer.join()


def test_a_flac_file_that_leaves_its_length_open_is_read_to_its_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """ffmpeg and flac write such files into a pipe."""
    path, opened = tmp_path / "known.flac", tmp_path / "open.flac"
    soundfile.write(path, sine(440, RATE, 12.5), RATE)
    header = bytearray(path.read_bytes())
    header[21] &= 0xF0  # the number of samples: 36 bits of the first block of metadata
    header[22:26] = bytes(4)
    opened.write_bytes(header)

    np.testing.assert_array_equal(read_audio(opened, RATE), read_audio(path, RATE))
    assert duration_s(opened) == 12.5
    assert caplog.messages == []


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFF000, 0x80000000])
def test_a_wav_file_that_was_written_into_a_pipe_is_read_to_its_end(
    length: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, piped = tmp_path / "known.wav", tmp_path / "piped.wav"
    soundfile.write(path, sine(440, RATE), RATE)
    content = bytearray(path.read_bytes())
    start = content.index(b"data") + 4
    content[start : start + 4] = length.to_bytes(4, "little")
    piped.write_bytes(content)

    np.testing.assert_array_equal(read_audio(piped, RATE), read_audio(path, RATE))
    assert caplog.messages == []


@pytest.mark.parametrize(("start_s", "end_s"), [(0.0, 0.5), (0.7, 1.9), (2.9, 9.0), (5.0, 6.0)])
def test_an_excerpt_is_that_part_of_the_whole(start_s: float, end_s: float, tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, (3 * 22050, 2)), 22050)
    whole = read_audio(path, 16000)

    excerpt = read_excerpt(path, 16000, start_s, end_s)

    np.testing.assert_array_equal(excerpt, whole[round(start_s * 16000) : round(end_s * 16000)])


@pytest.mark.parametrize("is_said", [True, False])
def test_a_recording_without_end_is_refused_unless_that_is_raised(
    is_said: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "silence.flac"
    soundfile.write(path, np.zeros(50 * 8000, np.int16), 8000)
    if not is_said:
        monkeypatch.setattr(AudioReader, "header_s", None)
    monkeypatch.setenv("SEDTF_LONGEST_H", "0.01")  # 36 s
    with pytest.raises(DataError, match=r"0 h of audio, expected at most 0\.01 \(the variable"):
        read_audio(path, 8000)
    monkeypatch.setenv("SEDTF_LONGEST_H", "0.1")
    assert len(read_audio(path, 8000)) == 50 * 8000
    monkeypatch.setenv("SEDTF_LONGEST_H", "-1")
    with pytest.raises(UserError, match="SEDTF_LONGEST_H=-1: expected a number of hours"):
        read_audio(path, 8000)
