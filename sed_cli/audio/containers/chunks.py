"""Containers of chunks with sizes: wav, RF64, AIFF, Wave64, CAF; and AU, which has one chunk."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass

from sed_cli.audio.containers.contents import ByteRange, Contents

_TOLERATED_S = 0.1  # headers are often wrong by a few samples or bytes
_LOOKED_AT = 1 << 16
_UNKNOWN = 2**32 - 1
# Sizes written by programs that cannot return to the header: arecord, sox and ffmpeg, in bytes.
_OPEN = (range(0x7FFF_0000, 0x8000_0200), range(0xFFFF_0000, 0x1_0000_0000))
_MORE = (b"ID3", b"TAG", b"APETAGEX")  # appended by tagging programs


@dataclass
class _Sound:
    """Position of the samples in a file, and their number by the header.

    Args:
        at: first byte of the samples.
        size: their bytes by the header; ``None``: to the end of the file.
        byte_rate: bytes per second; 0 if unknown because of the coding.
        align: bytes of one sample of all channels.
        head: creates a header for another number of bytes.
        is_padded: whether chunks start at even bytes.
        order: byte order of sizes.
        kind: properties that must be equal in files to be joined.
        is_refused: whether the decoder rejects a file whose length differs from its header.
    """

    at: int
    size: int | None
    byte_rate: float
    align: int
    head: Callable[[int], bytes]
    is_padded: bool = True
    order: str = "<"
    kind: bytes = b""
    is_refused: bool = False


def read_chunks(data: mmap.mmap) -> Contents | None:
    """Compare the size of the sample chunk with the contents of the file."""
    for marks, read in _FORMATS.items():
        if data[:4] in marks:
            sound = read(data, 0)
            return Contents() if sound is None else _compare(data, sound)
    return None


def _compare(data: mmap.mmap, sound: _Sound) -> Contents:
    held = len(data) - sound.at
    whole = held - held % sound.align
    parts = (ByteRange(sound.at, sound.at + whole, sound.head(whole)),)
    if sound.size is None:
        return Contents(parts=parts if sound.is_refused else ())
    if not sound.byte_rate:
        is_cut = sound.size - held > _LOOKED_AT // 16
        return Contents(loss="" if is_cut else None)
    if sound.size > held:
        is_cut = (sound.size - held) / sound.byte_rate > _TOLERATED_S
        said_s = sound.size / sound.byte_rate
        return Contents(
            parts=parts if sound.is_refused else (),
            said_s=said_s if is_cut else None,
            loss="" if is_cut else None,
        )
    end = sound.at + sound.size
    more_s = (len(data) - end) / sound.byte_rate
    if more_s <= _TOLERATED_S or _is_no_sound(data, end, sound):
        return Contents()
    if sound.size and data[end : end + 4] in _FORMATS_OF_WAV:
        return _joined(data, sound, end)
    held_s = held / sound.byte_rate
    said_s = sound.size / sound.byte_rate
    says = "is unfinished and declares 0 s" if not sound.size else f"declares {said_s:.2f} s"
    note = f"its header {says}, but the file contains {held_s:.2f} s: all of it is read"
    return Contents(parts=parts, notes=(note,), said_s=held_s)


def _is_no_sound(data: mmap.mmap, at: int, sound: _Sound) -> bool:
    """Whether the samples are followed by other chunks, tags or unused space."""
    if data[at : at + 8].startswith(_MORE):
        return True
    for start in (at, at + 1) if sound.is_padded else (at,):
        if data[start : start + 4] not in _FORMATS_OF_WAV and _is_chain(data, start, sound.order):
            return True
    rest = (data[at : at + _LOOKED_AT], data[max(at, len(data) - _LOOKED_AT) :])
    return sound.size != 0 and not any(map(any, rest))


def _is_chain(data: mmap.mmap, at: int, order: str) -> bool:
    """Whether chunks follow, up to the end or nearly so."""
    n_chunks = 0
    while at + 8 <= len(data):
        name, size = struct.unpack_from(f"{order}4sI", data, at)
        if not all(0x20 <= byte < 0x7F for byte in name) or at + 8 + size > len(data) + 1:
            return n_chunks > 1 or data[at : at + 8].startswith(_MORE)
        n_chunks += 1
        at += 8 + size + size % 2
    return n_chunks > 0


def _joined(data: mmap.mmap, sound: _Sound, end: int) -> Contents:
    """Treat concatenated wav files as one recording."""
    parts = [ByteRange(0, end)]
    while data[end : end + 4] in _FORMATS_OF_WAV:
        start = end
        follows = _riff(data, start)
        if follows is None or follows.kind != sound.kind:
            return Contents(parts=tuple(parts), loss="a wav file of a different kind follows")
        size = len(data) - follows.at if follows.size is None else follows.size
        if size > len(data) - follows.at:
            return Contents(parts=(*parts, ByteRange(start, len(data))), loss="")
        end = follows.at + size
        parts.append(ByteRange(start, end))
    note = f"{len(parts)} wav files one after the other: all of them are read"
    return Contents(parts=tuple(parts), notes=(note,))


# ------------------------------------------------------------------------------ formats


def _riff(data: mmap.mmap, start: int) -> _Sound | None:
    order = ">" if data[start : start + 4] == b"RIFX" else "<"
    if data[start + 8 : start + 12] != b"WAVE":
        return None
    at, large_at, kind = start + 12, 0, b""
    while at + 8 <= len(data):
        name, size = struct.unpack_from(f"{order}4sI", data, at)
        if name == b"data":
            break
        if name == b"fmt ":
            kind = data[at + 8 : at + 8 + min(size, 16)]
        elif name == b"ds64":
            large_at = at + 8
        at += 8 + size
        if size % 2 and data[at : at + 4] != b"data":  # some writers omit the padding
            at += 1
    else:
        return None
    if len(kind) < 16:
        return None
    tag, n_channels, rate, _, align, n_bits = struct.unpack(f"{order}HHIIHH", kind)
    if large_at and size == _UNKNOWN:
        size = int.from_bytes(data[large_at + 8 : large_at + 16], "little")
    is_open = size >= 2**63 if large_at else any(size in sizes for sizes in _OPEN)

    def head(n_bytes: int) -> bytes:
        made = bytearray(data[start : at + 8])
        if large_at:
            sizes = struct.pack("<QQQ", len(made) + n_bytes - 8, n_bytes, n_bytes // align)
            made[large_at - start : large_at - start + 24] = sizes
        made[4:8] = struct.pack(f"{order}I", _UNKNOWN if large_at else min(n_bytes + at, _UNKNOWN))
        made[-4:] = struct.pack(f"{order}I", _UNKNOWN if large_at else min(n_bytes, _UNKNOWN))
        return bytes(made) if large_at or n_bytes < _UNKNOWN else _large(made, n_bytes, align)

    # For codes other than PCM, float and logarithmic ones, a block is more than one sample.
    is_plain = tag in (1, 3, 6, 7, 0xFFFE) and align == n_channels * ((n_bits + 7) // 8) > 0
    return _Sound(
        at=at + 8,
        size=None if is_open else size,
        byte_rate=float(rate * align) if is_plain else 0.0,
        align=max(1, align),
        head=head,
        order=order,
        kind=kind[:8] + kind[12:],
        is_refused=large_at > 0,
    )


def _large(head: bytearray, n_bytes: int, align: int) -> bytes:
    """Convert the header of a wav file to RF64, which may be larger than 4 GiB."""
    sizes = (len(head) + 36 + n_bytes - 8, n_bytes, n_bytes // align)
    chunk = struct.pack("<4sIQQQI", b"ds64", 28, *sizes, 0)
    return b"RF64" + struct.pack("<I", _UNKNOWN) + b"WAVE" + chunk + bytes(head[12:])


def _aiff(data: mmap.mmap, start: int) -> _Sound | None:
    if data[8:12] not in (b"AIFF", b"AIFC"):
        return None
    at, common = 12, 0
    while at + 8 <= len(data):
        name, size = struct.unpack_from(">4sI", data, at)
        if name == b"SSND":
            break
        if name == b"COMM" and at + 26 <= len(data):
            common = at + 8
        at += 8 + size + size % 2
    else:
        return None
    if not common:
        return None
    n_channels, n_frames, n_bits, exponent, mantissa = struct.unpack_from(">HIHHQ", data, common)
    rate = mantissa * 2.0 ** (exponent - 16383 - 63) if exponent < 16383 + 40 else 0.0
    is_plain = data[8:12] == b"AIFF" or data[common + 18 : common + 22] in _PLAIN_AIFC
    align = n_channels * ((n_bits + 7) // 8)

    def head(n_bytes: int) -> bytes:
        made = bytearray(data[: at + 16])
        made[common + 2 : common + 6] = struct.pack(">I", n_bytes // align)
        made[at + 4 : at + 8] = struct.pack(">I", min(n_bytes + 8, _UNKNOWN))
        made[4:8] = struct.pack(">I", min(n_bytes + at + 8, _UNKNOWN))
        return bytes(made)

    # Frames and chunk size are redundant; a recorder may have completed only one of them.
    size = max(0, size - 8) if n_frames == 0 else max(size - 8, n_frames * align)
    return _Sound(
        at=at + 16,
        size=size,
        byte_rate=rate * align if is_plain else 0.0,
        align=max(1, align),
        head=head,
        order=">",
    )


def _wave64(data: mmap.mmap, start: int) -> _Sound | None:
    at, align, rate = 40, 0, 0
    while at + 24 <= len(data):
        (size,) = struct.unpack_from("<Q", data, at + 16)
        if data[at : at + 4] == b"data":
            break
        if data[at : at + 4] == b"fmt " and at + 40 <= len(data):
            _, _, rate, _, align = struct.unpack_from("<HHIIH", data, at + 24)
        at += max(24, (size + 7) // 8 * 8)
    else:
        return None

    def head(n_bytes: int) -> bytes:
        made = bytearray(data[: at + 24])
        made[16:24] = struct.pack("<Q", len(made) + n_bytes)
        made[at + 16 : at + 24] = struct.pack("<Q", n_bytes + 24)
        return bytes(made)

    return _Sound(
        at=at + 24,
        size=max(0, size - 24),
        byte_rate=float(rate * align),
        align=max(1, align),
        head=head,
        is_padded=False,
    )


def _caf(data: mmap.mmap, start: int) -> _Sound | None:
    at, align, rate = 8, 0, 0.0
    while at + 12 <= len(data):
        name, size = struct.unpack_from(">4sq", data, at)
        if name == b"data":
            break
        if name == b"desc" and at + 44 <= len(data):
            rate, code, _, align = struct.unpack_from(">d4sII", data, at + 12)
            align = align if code in (b"lpcm", b"ulaw", b"alaw") else 0
        if size < 0:
            return None
        at += 12 + size
    else:
        return None

    def head(n_bytes: int) -> bytes:
        made = bytearray(data[: at + 16])
        made[at + 4 : at + 12] = struct.pack(">q", n_bytes + 4)
        return bytes(made)

    return _Sound(
        at=at + 16,  # after an edit count
        size=None if size < 0 else max(0, size - 4),
        byte_rate=rate * align,
        align=max(1, align),
        head=head,
        is_padded=False,
        order=">",
        is_refused=True,
    )


def _au(data: mmap.mmap, start: int) -> _Sound | None:
    if len(data) < 24:
        return None
    at, size, code, rate, n_channels = struct.unpack_from(">IIIII", data, 4)
    width = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}.get(code, 0)

    def head(n_bytes: int) -> bytes:
        made = bytearray(data[:at])
        made[8:12] = struct.pack(">I", min(n_bytes, _UNKNOWN))
        return bytes(made)

    return _Sound(
        at=at,
        size=None if size == _UNKNOWN else size,
        byte_rate=float(rate * n_channels * width),
        align=max(1, n_channels * width),
        head=head,
        is_padded=False,
        order=">",
    )


_FORMATS_OF_WAV = (b"RIFF", b"RIFX", b"RF64", b"BW64")
_PLAIN_AIFC = (b"NONE", b"sowt", b"twos", b"fl32", b"FL32", b"fl64", b"FL64", b"ulaw", b"alaw")
_FORMATS: dict[tuple[bytes, ...], Callable[[mmap.mmap, int], _Sound | None]] = {
    _FORMATS_OF_WAV: _riff,
    (b"FORM",): _aiff,
    (b"riff",): _wave64,
    (b"caff",): _caf,
    (b".snd",): _au,
}
