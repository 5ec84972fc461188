"""The time of a recording, from names and headers of field recorders."""

from __future__ import annotations

import os
import struct
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sed_cli.audio.recorded import recorded_at

AT = datetime(2026, 5, 3, 5, 30, 0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SITE_20260503_053000.wav", AT),
        ("20260503_053000.WAV", AT),
        ("2MU01234_20260503_053000_1.wav", AT),
        ("SM4-2_20260503$053000.wav", None),
        ("20260503T053000+0200_REC.wav", AT),
        ("2026-05-03 05-30-00.flac", AT),
        ("2026-05-03_05.30.wav", AT),
        ("20260503053000.wav", AT),
        ("69F6DD58.WAV", AT),  # seconds since 1970, in hex
        ("20261303_053000.wav", None),  # no such month
        ("20260503_253000.wav", None),
        ("rec_0001_123456.wav", None),
        ("12345678_123456.wav", None),
        ("bird.wav", None),
    ],
)
def test_dates_stand_in_names(name: str, expected: datetime | None, tmp_path: Path) -> None:
    assert recorded_at(tmp_path / name) == expected


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack("<4sI", name, len(content)) + content + b"\0" * (len(content) % 2)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (b"guan", b"GUANO|Version: 1.0\nTimestamp: 2026-05-03T05:30:00+02:00\nNote: x\n"),
        (b"guan", b"Timestamp: 2026-05-03 05:30:00"),
        (
            b"LIST",
            b"INFO" + chunk(b"ICMT", b"Recorded at 05:30:00 03/05/2026 (UTC+2) by AudioMoth 24F"),
        ),
        (b"bext", b"\0" * 320 + b"2026-05-03" + b"05:30:00" + b"\0" * 264),
    ],
)
def test_dates_stand_in_chunks_before_and_after_the_sound(
    name: bytes, content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(1001), 8000, subtype="PCM_U8")
    whole = path.read_bytes()
    whole += b"\0" * (len(whole) % 2)

    path.write_bytes(whole + chunk(name, content))
    assert recorded_at(path) == AT
    path.write_bytes(whole[:12] + chunk(name, content) + whole[12:])
    assert recorded_at(path) == AT
    path.write_bytes(whole)
    assert recorded_at(path) is None


@pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFF\0\0\0\0WAVEguan\xff\xff\xff\xffTime"])
def test_a_damaged_header_is_ignored(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    assert recorded_at(path) is None


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert recorded_at(tmp_path / "pipe") is None
