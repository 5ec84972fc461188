"""Audio files with wrong headers, or cut, concatenated or tagged, made from intact ones."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 16_000
SECONDS = 4


def noise(n_channels: int = 1) -> NDArray[np.float64]:
    """A few seconds of sound that makes a variable bit rate vary."""
    generator = np.random.default_rng(0)
    level = np.where(np.arange(SECONDS * RATE) % (2 * RATE) < RATE, 0.001, 0.3)
    return generator.normal(size=(SECONDS * RATE, n_channels)).clip(-3, 3) * level[:, None]


def encoded(format: str, subtype: str | None = None, *, rate: int = RATE, **options: str) -> bytes:
    """The noise, encoded as a file."""
    file = io.BytesIO()
    soundfile.write(file, noise(), rate, format=format, subtype=subtype, **options)
    return file.getvalue()


def put(content: bytes, at: int, value: bytes) -> bytes:
    return content[:at] + value + content[at + len(value) :]


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def with_size(content: bytes, n_bytes: int, name: bytes = b"data", form: str = "<I") -> bytes:
    """The file with a different size in the header of the sample chunk."""
    return put(content, content.index(name) + 4, struct.pack(form, n_bytes))


def with_wave64_size(content: bytes, n_bytes: int) -> bytes:
    return put(content, content.index(b"data") + 16, struct.pack("<Q", n_bytes))


def with_rf64_size(content: bytes, n_bytes: int) -> bytes:
    return put(content, content.index(b"ds64") + 16, struct.pack("<Q", n_bytes))


def with_aiff_size(content: bytes, n_frames: int) -> bytes:
    content = put(content, content.index(b"COMM") + 10, struct.pack(">I", n_frames))
    return with_size(content, 2 * n_frames + 8, b"SSND", ">I")


def with_flac_samples(content: bytes, n_samples: int) -> bytes:
    content = put(content, 21, bytes([content[21] & 0xF0]))
    return put(content, 22, struct.pack(">I", n_samples))


def without_xing(content: bytes) -> bytes:
    """An mp3 file without the frame in which the encoder states the number of frames."""
    start = content.index(b"Xing") if b"Xing" in content else content.index(b"Info")
    return content[content.index(content[:2], start) :]


HALF = SECONDS * RATE  # bytes of half of the samples, 16 bits each
BLOCK = 1152 / RATE  # seconds within which lossy formats keep a length

# Files with all of the noise, and whether their header is wrong.
WHOLE: dict[str, tuple[Callable[[], bytes], bool]] = {
    "wav": (lambda: encoded("WAV"), False),
    "wav of unknown length": (lambda: with_size(encoded("WAV"), 0xFFFFFFFF), False),
    "wav of a battery that died": (lambda: with_size(encoded("WAV"), 0), True),
    "wav of half the size": (lambda: with_size(encoded("WAV"), HALF), True),
    "float wav of size 0": (lambda: with_size(encoded("WAV", "FLOAT"), 0), True),
    "24-bit wav of size 0": (lambda: with_size(encoded("WAV", "PCM_24"), 0), True),
    "mu-law wav of size 0": (lambda: with_size(encoded("WAV", "ULAW"), 0), True),
    "wav with a list": (lambda: encoded("WAV") + b"LIST\x0a\0\0\0INFOabcdef", False),
    "wav with an odd chunk": (lambda: encoded("WAV") + b"note\x07\0\0\0abcdefg\0", False),
    "wav with large cues": (lambda: encoded("WAV") + b"cue \0\x40\0\0" + bytes(0x4000), False),
    "wav with an ID3 tag": (lambda: encoded("WAV") + b"ID3\x03" + bytes(20_000), False),
    "wav with room that is not used": (lambda: encoded("WAV") + bytes(20_000), False),
    "RF64": (lambda: encoded("RF64"), False),
    "RF64 of size 0": (lambda: with_rf64_size(encoded("RF64"), 0), True),
    "RF64 of half the size": (lambda: with_rf64_size(encoded("RF64"), HALF), True),
    "Wave64 of size 0": (lambda: with_wave64_size(encoded("W64"), 0), True),
    "Wave64 of half the size": (lambda: with_wave64_size(encoded("W64"), HALF + 24), True),
    "aiff": (lambda: encoded("AIFF"), False),
    "aiff of size 0": (lambda: with_aiff_size(encoded("AIFF"), 0), True),
    "aiff of half the size": (lambda: with_aiff_size(encoded("AIFF"), HALF // 2), True),
    "caf of unknown length": (lambda: with_size(encoded("CAF"), -1, form=">q"), False),
    "caf of size 0": (lambda: with_size(encoded("CAF"), 0, form=">q"), True),
    "au of size 0": (lambda: put(encoded("AU"), 8, bytes(4)), True),
    "flac": (lambda: encoded("FLAC"), False),
    "flac of unknown length": (lambda: with_flac_samples(encoded("FLAC"), 0), False),
    "flac of half the length": (lambda: with_flac_samples(encoded("FLAC"), HALF // 2), True),
    "flac with a tag": (lambda: encoded("FLAC") + b"TAG" + bytes(125), False),
    "ogg": (lambda: encoded("OGG"), False),
    "ogg with junk": (lambda: encoded("OGG") + bytes(5000), False),
    "opus": (lambda: encoded("OGG", "OPUS"), False),
    "mp3": (lambda: encoded("MP3"), False),
    "mp3 with ID3v1": (lambda: encoded("MP3") + b"TAG" + bytes(125), False),
    "mp3 with ID3v2": (lambda: b"ID3\x03\0\0\0\0\x10\0" + bytes(2048) + encoded("MP3"), False),
    "mp3 with an APE tag": (lambda: encoded("MP3") + ape_tag(3000), False),
    "mp3 with junk": (lambda: encoded("MP3") + b"hello" * 1000, False),
    "mp3 of a constant rate": (lambda: encoded("MP3", bitrate_mode="CONSTANT"), False),
    "mp3 of a constant rate without Xing": (
        lambda: without_xing(encoded("MP3", bitrate_mode="CONSTANT")),
        False,
    ),
    "mp3 of a rate that varies, without Xing": (
        lambda: without_xing(encoded("MP3", bitrate_mode="VARIABLE")),
        False,
    ),
}

# Files with a missing part, and the share that is left: half of the bytes, which is less of the
# time if the quiet half of the noise takes fewer bytes.
CUT: dict[str, tuple[Callable[[], bytes], float]] = {
    "wav": (lambda: half(encoded("WAV")), 0.5),
    "float wav": (lambda: half(encoded("WAV", "FLOAT")), 0.5),
    "RF64": (lambda: half(encoded("RF64")), 0.5),
    "Wave64": (lambda: half(encoded("W64")), 0.5),
    "aiff": (lambda: half(encoded("AIFF")), 0.5),
    "caf": (lambda: half(encoded("CAF")), 0.47),  # behind a header of 4 kB
    "au": (lambda: half(encoded("AU")), 0.5),
    "flac": (lambda: half(encoded("FLAC")), 0.5),
    "flac of unknown length": (lambda: half(with_flac_samples(encoded("FLAC"), 0)), 0.5),
    "flac without its last bytes": (lambda: encoded("FLAC")[:-50], 0.95),
    "ogg": (lambda: half(encoded("OGG")), 0.25),
    "opus": (lambda: half(encoded("OGG", "OPUS")), 0.25),
    "mp3": (lambda: half(encoded("MP3", bitrate_mode="CONSTANT")), 0.5),
}


def ape_tag(size: int) -> bytes:
    head = b"APETAGEX" + struct.pack("<IIII", 2000, size - 32, 1, 0) + bytes(8)
    return head + bytes(size - 32)
