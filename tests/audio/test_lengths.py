"""All content of a file is read, whatever its header declares; missing parts are reported."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sed_cli.audio import AudioReader, inspect_audio, read_audio
from sed_cli.audio.containers import ByteRange, PartFile
from sed_cli.errors import DataError
from tests.audio.files_of_many_kinds import (
    BLOCK,
    CUT,
    HALF,
    RATE,
    SECONDS,
    WHOLE,
    encoded,
    half,
    noise,
    put,
    with_size,
    without_xing,
)


def written(folder: Path, content: bytes) -> Path:
    path = folder / "recording"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", WHOLE)
def test_all_that_a_file_holds_is_read(kind: str, tmp_path: Path) -> None:
    make, is_contradicted = WHOLE[kind]
    path = written(tmp_path, make())

    facts = inspect_audio(path)
    waveform = read_audio(path, RATE)

    assert facts.loss is None
    assert facts.duration_s == len(waveform) / RATE == pytest.approx(SECONDS, abs=2 * BLOCK)
    assert bool(facts.notes) == is_contradicted
    assert all(f"{SECONDS:.2f} s" in note or "flac" in kind for note in facts.notes)
    if not kind.startswith(("mp3", "ogg", "opus")):
        np.testing.assert_allclose(waveform, noise()[:, 0], atol=0.05)  # mu-law is the coarsest


@pytest.mark.parametrize("kind", CUT)
def test_a_recording_that_breaks_off_is_refused_or_used_with_a_warning(
    kind: str, tmp_path: Path
) -> None:
    make, share = CUT[kind]
    path = written(tmp_path, make())
    told: list[str] = []

    facts = inspect_audio(path)
    with pytest.raises(DataError, match=r"recording: breaks off after .*data\.strict=false"):
        read_audio(path, RATE)
    with AudioReader(path, salvage=told.append) as reader:
        waveform = np.concatenate(list(reader.blocks()))

    assert facts.duration_s == len(waveform) / RATE
    assert facts.duration_s == pytest.approx(share * SECONDS, rel=0.15)  # of blocks, some are gone
    assert facts.loss is not None
    assert facts.loss.startswith(f"breaks off after {facts.duration_s:.2f} s of ")
    assert told == [f"{path}: {facts.loss}; the decoded part is used"]


@pytest.mark.parametrize(
    ("format", "subtype"),
    [("WAV", "PCM_16"), ("FLAC", None), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)],
)
def test_files_that_were_joined_are_one_recording(
    format: str, subtype: str | None, tmp_path: Path
) -> None:
    single = encoded(format, subtype)
    (tmp_path / "single").write_bytes(single)
    path = written(tmp_path, 3 * single)

    waveform = read_audio(path, RATE)

    np.testing.assert_array_equal(waveform, np.tile(read_audio(tmp_path / "single", RATE), 3))
    facts = inspect_audio(path)
    assert facts.duration_s == 3 * SECONDS
    (note,) = facts.notes
    assert "3 " in note


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "MP3"])
def test_joined_files_of_two_rates_or_of_which_one_is_cut_are_used_in_part(
    format: str, tmp_path: Path
) -> None:
    single, other = encoded(format), encoded(format, rate=44100)
    for content, at_least_s in ((single + other, SECONDS), (single + half(single), SECONDS + 0.5)):
        facts = inspect_audio(written(tmp_path, content))
        assert facts.loss is not None
        assert at_least_s <= facts.duration_s < SECONDS + 3


def test_a_varying_bit_rate_is_not_taken_for_a_longer_or_shorter_recording(tmp_path: Path) -> None:
    """Without a frame count, libsndfile uses the bit rate of the first frame."""
    content = without_xing(encoded("MP3", bitrate_mode="VARIABLE"))
    path = written(tmp_path, content)
    assert abs(soundfile.info(path).duration - SECONDS) > 1

    whole = tmp_path / "whole"
    whole.write_bytes(encoded("MP3", bitrate_mode="VARIABLE"))
    expected, waveform = read_audio(whole, RATE), read_audio(path, RATE)

    # Padding before the first sample is removed only if the encoder declares it.
    shift = int(np.argmax(np.correlate(waveform[: 3 * RATE], expected[: 2 * RATE], "valid")))
    assert shift < 1152
    np.testing.assert_allclose(waveform[shift:][: 3 * RATE], expected[: 3 * RATE], atol=1e-3)


def test_a_wav_file_without_samples_is_not_given_any(tmp_path: Path) -> None:
    empty = with_size(encoded("WAV")[:44], 0)
    for content in (empty, empty + b"LIST" + struct.pack("<I", 20_000) + bytes(20_000)):
        path = written(tmp_path, content)
        assert inspect_audio(path).duration_s == 0
        with pytest.raises(DataError, match="holds no samples"):
            read_audio(path, RATE)


def test_more_than_four_gigabytes_are_read_where_the_size_has_run_over(tmp_path: Path) -> None:
    path = tmp_path / "day.wav"
    content = with_size(encoded("WAV"), 2 * RATE)
    with path.open("wb") as file:
        file.write(content)
        file.truncate(2**32 + 2 * RATE + 44)  # a sparse file: it takes no space
        file.seek(-4, os.SEEK_END)
        file.write(b"\1\2\1\2")

    assert inspect_audio(path).duration_s == pytest.approx(2**32 / 2 / RATE + 1)


def test_pages_that_are_missing_in_the_middle_are_reported(tmp_path: Path) -> None:
    content = encoded("OGG")
    page = content.index(b"OggS", len(content) // 2)
    after = content.index(b"OggS", page + 4)

    facts = inspect_audio(written(tmp_path, content[:page] + content[after:]))

    assert facts.loss is not None
    assert "some of its pages are missing" in facts.loss


def test_an_ogg_file_that_ends_with_a_page_too_early_is_noted(tmp_path: Path) -> None:
    content = encoded("OGG")
    facts = inspect_audio(written(tmp_path, content[: content.rindex(b"OggS")]))
    assert "may have been cut" in facts.notes[0]


def test_what_was_found_is_remembered_until_the_file_is_written_to(tmp_path: Path) -> None:
    path = written(tmp_path, encoded("WAV"))
    assert inspect_audio(path) is inspect_audio(path)
    path.write_bytes(half(path.read_bytes()))
    assert inspect_audio(path).loss is not None


@pytest.mark.parametrize(
    ("at", "value", "what"),
    [
        (24, struct.pack("<I", 1), "a sample rate of 1 Hz, expected 100 to 5000000"),
        (24, struct.pack("<I", 2**31 - 1), "a sample rate of 2147483647 Hz"),
        (24, struct.pack("<I", 2**31), "cannot be read"),
        (24, bytes(4), "cannot be read"),
        (22, struct.pack("<HIIH", 1000, RATE, 2000 * RATE, 2000), "1000 channels, expected at"),
        (22, struct.pack("<HIIH", 60_000, RATE, 0, 54464), "cannot be read"),
    ],
)
def test_a_header_out_of_reason_is_refused_before_any_work(
    at: int, value: bytes, what: str, tmp_path: Path
) -> None:
    path = written(tmp_path, put(encoded("WAV"), at, value))
    for look in (inspect_audio, AudioReader):
        with pytest.raises(DataError, match=what):
            look(path)


def test_more_channels_are_read_if_a_variable_allows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "array.wav"
    soundfile.write(path, np.zeros((100, 300)), RATE)
    with pytest.raises(DataError, match=r"300 channels, .*SEDTF_MOST_CHANNELS raises"):
        inspect_audio(path)
    monkeypatch.setenv("SEDTF_MOST_CHANNELS", "300")
    assert inspect_audio(path).n_channels == 300


@pytest.mark.parametrize("rate", [100, 44_101, 5_000_000])
def test_any_rate_that_is_taken_is_resampled_in_small_blocks(rate: int, tmp_path: Path) -> None:
    path = written(tmp_path, put(encoded("WAV"), 24, struct.pack("<I", rate)))
    with AudioReader(path) as reader:
        sizes = [len(block) for block in reader.blocks(RATE)]
    assert sum(sizes) == pytest.approx(SECONDS * RATE / rate * RATE, abs=1)
    assert max(sizes) <= 25 * RATE


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e20, 1e25, -1e7])
def test_samples_beyond_all_measure_are_refused_with_their_place(
    value: float, tmp_path: Path
) -> None:
    samples = noise().astype(np.float32)
    samples[3 * RATE] = value
    path = tmp_path / "loud.wav"
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    with pytest.raises(DataError, match=r"loud\.wav: holds samples .* from 3\.00 s on"):
        read_audio(path, RATE)


def test_integers_that_were_written_as_floats_are_audio(tmp_path: Path) -> None:
    path = tmp_path / "integers.wav"
    soundfile.write(path, 32767 * noise(), RATE, subtype="FLOAT")
    assert np.abs(read_audio(path, RATE)).max() > 1000


@pytest.mark.parametrize(
    "look", [lambda file: file.read(), lambda file: b"".join(iter(lambda: file.read(3), b""))]
)
def test_a_part_of_a_file_looks_like_a_whole_one(
    look: Callable[[PartFile], bytes], tmp_path: Path
) -> None:
    path = written(tmp_path, b"0123456789")
    with PartFile(path.open("rb"), ByteRange(2, 8, b"head")) as part:
        assert look(part) == b"head234567"
        assert part.seek(-3, os.SEEK_END) == 7
        assert part.read(2) == b"56"
        assert part.seek(1, os.SEEK_CUR) == 10
        assert part.read() == b""


def test_a_recording_that_comes_through_a_pipe_is_examined_too(tmp_path: Path) -> None:
    told: list[str] = []
    path = written(tmp_path, with_size(encoded("WAV"), HALF))
    with (
        path.open("rb") as pipe,
        AudioReader(Path("standard input"), pipe=pipe, salvage=told.append) as reader,
    ):
        assert sum(map(len, reader.blocks())) == SECONDS * RATE
    assert told[0].startswith(
        "standard input: its header declares 2.00 s, but the file contains 4.00 s"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"ID3\x04\0\0\0\0\0\0" * 200_000, "more than 100 tags"),
        (b"\xff\xfb\0" * 1_000_000, "no frames in a row"),  # of a free bit rate, without any end
    ],
)
def test_an_mp3_file_that_keeps_the_decoder_busy_is_not_given_to_it(
    content: bytes, reason: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"cannot be read as audio .*{reason}"):
        inspect_audio(path)
    assert capfd.readouterr().err == ""  # the decoder would report each
