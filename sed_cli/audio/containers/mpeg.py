"""MPEG audio (mp3): consecutive frames; encoders describe the stream in the first one.

Source: ISO 11172-3 and 13818-3 for frame headers; the Xing and VBRI headers by the output of
encoders.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import NamedTuple

from sed_cli.audio.containers.contents import ByteRange, Contents, Mapped

_LAYER_1, _LAYER_2, _LAYER_3 = 3, 2, 1
_MPEG_1, _MPEG_2, _MPEG_25 = 3, 2, 0
_KBPS = {
    (True, _LAYER_1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, _LAYER_2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, _LAYER_3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, _LAYER_1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, _LAYER_2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, _LAYER_3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SEARCHED = 1 << 20  # bytes in which a first frame must be found
_CONFIRMED = 3  # frames in a row that cannot be chance
_MOST_TAGS = 100  # the decoder reads each, and prints a line if it is empty
_LARGE = 1 << 16  # bytes of a file in which the decoder would search long for frames


class _Kind(NamedTuple):
    """Properties that all frames of a stream share."""

    version: int
    layer: int
    rate: int
    is_mono: bool

    @property
    def n_samples(self) -> int:
        """Duration of a frame."""
        if self.layer == _LAYER_1:
            return 384
        return 576 if self.layer == _LAYER_3 and self.version != _MPEG_1 else 1152


class _Stream:
    """Frames of one kind, from one encoder header to the next."""

    def __init__(self, start: int, kind: _Kind, said: int | None) -> None:
        self.start = self.stop = start
        self.kind = kind
        self.said = said  # frames, according to the encoder
        self.n_frames = 0  # without the one with the encoder's header
        self.is_read = True  # according to the decoder, which does not know all of these headers


def read_mpeg(data: Mapped) -> Contents | None:
    """Count the frames of an MPEG audio file, for each of the files joined in it."""
    start = _after_tags(data, 0)
    if start is None:
        return Contents(fault=f"more than {_MOST_TAGS} tags at the start of an mp3 file")
    streams = _walk(data, start)
    if not streams:
        head = data[start : start + 2]
        is_like_one = len(head) == 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0
        if is_like_one and len(data) - start > _LARGE:
            return Contents(fault="it starts as an mp3 file, but has no frames in a row")
        return None
    first = streams[0]
    notes: list[str] = []
    loss: str | None = None
    parts: list[ByteRange] = []
    for stream in streams:
        if (stream.kind.rate, stream.kind.is_mono) != (first.kind.rate, first.kind.is_mono):
            loss = f"what follows has {stream.kind.rate} Hz or another number of channels"
            break
        said, n_frames = stream.said, stream.n_frames
        frame_s = stream.kind.n_samples / stream.kind.rate
        if said is not None and said - n_frames > max(1.0, 0.1 / frame_s):
            loss = ""
        if said is None or not stream.is_read:
            parts.append(_counted(data, stream))
        elif n_frames - said > max(1.0, 0.1 / frame_s):
            parts.append(_counted(data, stream))
            notes.append(
                f"its header declares {said * frame_s:.2f} s, but the file contains "
                f"{n_frames * frame_s:.2f} s: all of it is read"
            )
        else:
            parts.append(_as_it_is(data, stream))
    if len(parts) > 1:
        notes.append(f"{len(parts)} mp3 streams one after the other: all of them are read")
    elif first.said is not None and first.is_read and not notes and loss is None:
        # Foreign bytes make the decoder print to standard error.
        parts = [] if first.stop - first.start > 0.99 * len(data) else parts
    return Contents(parts=tuple(parts), notes=tuple(notes), loss=loss)


def _as_it_is(data: Mapped, stream: _Stream) -> ByteRange:
    """Keep the encoder's header; some of the bytes that it counted may be missing."""
    length = _frame_length(stream.kind, data[stream.start + 2])
    head = bytearray(data[stream.start : stream.start + length])
    mark = max(head.find(b"Xing"), head.find(b"Info"))
    if head[mark + 7] & 2:
        at = mark + 8 + 4 * (head[mark + 7] & 1)
        head[at : at + 4] = struct.pack(">I", stream.stop - stream.start)
    return ByteRange(stream.start + length, stream.stop, bytes(head))


def _counted(data: Mapped, stream: _Stream) -> ByteRange:
    """Prepend a frame with the number of frames: without one, the decoder estimates it."""
    start = stream.start
    if stream.said is not None:
        start += _frame_length(stream.kind, data[start + 2])
    version_and_layer = data[start + 1] | 1  # without a checksum
    rate_bits = data[start + 2] & 0x0C
    for kbps in range(1, 15):
        length = _frame_length(stream.kind, kbps << 4 | rate_bits)
        if length >= 4 + _side_info(stream.kind) + 16:
            break
    head = bytes([0xFF, version_and_layer, kbps << 4 | rate_bits, data[start + 3]])
    head += bytes(_side_info(stream.kind)) + struct.pack(">4sII", b"Xing", 1, stream.n_frames)
    return ByteRange(start, stream.stop, head.ljust(length, b"\0"))


def _walk(data: Mapped, at: int) -> list[_Stream]:
    """Iterate over frames from a position on; anything else (tags, junk) is skipped."""
    size = len(data)
    found = _next_frame(data, at, min(size, at + _SEARCHED), None)
    if found is None:
        return []
    headers = _headers(data)
    streams: list[_Stream] = []
    while found is not None:
        at, kind = found
        lengths = _lengths(kind)
        stream: _Stream | None = None
        if streams and streams[-1].kind == kind:
            stream = streams[-1]
        while at + 4 <= size and data[at] == 0xFF:
            length = lengths[data[at + 1] << 8 | data[at + 2]]
            if not length or at + length > size:
                break
            if stream is None or at in headers:
                said = _said(data, at, kind) if at in headers else None
                if said is not None or stream is None:
                    stream = _Stream(at, kind, said)
                    streams.append(stream)
                    if said is not None:
                        stream.n_frames = -1  # this one contains no sound
                        stream.is_read = data[at + 36 : at + 40] != b"VBRI"
            stream.n_frames += 1
            at += length
            stream.stop = at
            data.give_back(at)
        if at + 4 > size:
            break
        after = _after_tags(data, at)
        found = None if after is None else _next_frame(data, after, size, kind)
    return [stream for stream in streams if stream.n_frames > 0]


def _next_frame(data: Mapped, at: int, stop: int, like: _Kind | None) -> tuple[int, _Kind] | None:
    """Find the first of several frames in a row."""
    while (at := data.find(b"\xff", at, stop)) >= 0:
        kind = _kind(data[at + 1 : at + 4])
        if kind is not None and _is_confirmed(data, at, kind, like):
            return at, kind
        at += 1
    return None


def _is_confirmed(data: Mapped, at: int, kind: _Kind, like: _Kind | None) -> bool:
    lengths, size = _lengths(kind), len(data)
    for n in range(_CONFIRMED):
        if at == size and n and kind == like:
            return True
        if at + 4 > size or data[at] != 0xFF:
            return False
        length = lengths[data[at + 1] << 8 | data[at + 2]]
        if not length:
            return False
        at += length
    return True


def _headers(data: Mapped) -> set[int]:
    """Return positions where frames with an encoder header may start: 4 bytes or more before it."""
    found: set[int] = set()
    for mark in (b"Xing", b"Info", b"VBRI"):
        at = -1
        while (at := data.find(mark, at + 1)) >= 0:
            found.update(at - 4 - n for n in (9, 11, 17, 19, 32, 34))
    return found


def _said(data: Mapped, at: int, kind: _Kind) -> int | None:
    """Return the number of frames according to the encoder; ``None`` without such a header."""
    for skipped in (0, 2):  # a checksum
        mark = at + 4 + _side_info(kind) + skipped
        if data[mark : mark + 4] in (b"Xing", b"Info"):
            flags, n_frames = struct.unpack(">II", data[mark + 4 : mark + 12].ljust(8, b"\0"))
            return n_frames if flags & 1 else None
    if data[at + 36 : at + 40] == b"VBRI":
        return int.from_bytes(data[at + 50 : at + 54], "big")
    return None


def _side_info(kind: _Kind) -> int:
    if kind.version == _MPEG_1:
        return 17 if kind.is_mono else 32
    return 9 if kind.is_mono else 17


def _after_tags(data: Mapped, at: int) -> int | None:
    """Return the position after ID3v2 tags and an APE tag; ``None`` if they are too many."""
    for _ in range(_MOST_TAGS):
        head = data[at : at + 32]
        if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 0x80:
            size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
            at += 10 + size + (10 if head[5] & 0x10 else 0)
        elif head[:8] == b"APETAGEX" and len(head) == 32:
            at += 32 + int.from_bytes(head[12:16], "little")
        elif head[:3] == b"TAG":
            at += 128
        else:
            return at
    return None


@cache
def _lengths(kind: _Kind) -> list[int]:
    """Return the length of a frame by the second and third byte of its header; 0: not a frame."""
    lengths = [0] * (1 << 16)
    for second in range(0xE0, 0x100):
        for third in range(0x100):
            header = bytes([second, third, 0xC0 if kind.is_mono else 0])
            if _kind(header) == kind:
                lengths[second << 8 | third] = _frame_length(kind, third)
    return lengths


def _kind(header: bytes) -> _Kind | None:
    """Read the second to the fourth byte of a frame."""
    if len(header) < 3 or header[0] & 0xE0 != 0xE0:
        return None
    version, layer = header[0] >> 3 & 3, header[0] >> 1 & 3
    bitrate, rate = header[1] >> 4, header[1] >> 2 & 3
    if version == 1 or layer == 0 or rate == 3 or bitrate in (0, 15):
        return None
    hz = (44100, 48000, 32000)[rate] >> {_MPEG_1: 0, _MPEG_2: 1, _MPEG_25: 2}[version]
    return _Kind(version, layer, hz, header[2] >> 6 == 3)


def _frame_length(kind: _Kind, third: int) -> int:
    kbps = _KBPS[kind.version == _MPEG_1, kind.layer][third >> 4]
    padding = third >> 1 & 1
    if kind.layer == _LAYER_1:
        return (12_000 * kbps // kind.rate + padding) * 4
    return kind.n_samples // 8 * 1000 * kbps // kind.rate + padding
