"""FLAC: a header with the number of samples, then frames with their position (RFC 9639)."""

from __future__ import annotations

from sed_cli.audio.containers.contents import ByteRange, Contents, Mapped

_TAIL = 256 << 10  # bytes at the end in which the last frame is searched
_MARK = b"fLaC\0\0\0\x22"  # with the header of the STREAMINFO block
_INFO = 42  # bytes to the end of that block


def read_flac(data: Mapped) -> Contents | None:
    """Compare the number of samples with the actual frames, and look for a second file."""
    start = _after_id3(data)
    if data[start : start + 4] != b"fLaC" or len(data) < start + _INFO:
        return None
    second = data.find(_MARK, start + _INFO)
    stop = len(data) if second < 0 else second
    rate, n_samples = _rate_and_samples(data, start)
    if not rate or not n_samples:
        return Contents(parts=() if second < 0 else _parts(data, start))
    said_s = n_samples / rate
    if second >= 0:
        parts = _parts(data, start)
        note = f"{len(parts)} flac files one after the other: all of them are read"
        same = all(_same_kind(data, start, part.start) for part in parts)
        return Contents(
            parts=parts if same else (),
            notes=(note,) if same else (),
            loss=None if same else "a flac file of a different kind follows",
        )
    last = _last_sample(data, start, stop)
    if last is not None and last < n_samples:
        return Contents(said_s=said_s, loss="")
    if last is not None and last - n_samples > 0.1 * rate:
        note = f"its header declares {said_s:.2f} s, but there is more: all of it is read"
        return Contents(parts=(_opened(data, start, stop),), notes=(note,))
    return Contents(said_s=said_s)


def _parts(data: Mapped, start: int) -> tuple[ByteRange, ...]:
    starts = []
    while start >= 0:
        starts.append(start)
        start = data.find(_MARK, start + _INFO)
    return tuple(
        ByteRange(one, stop) for one, stop in zip(starts, [*starts[1:], len(data)], strict=True)
    )


def _same_kind(data: Mapped, one: int, other: int) -> bool:
    """Whether rate, channels and depth are the same."""
    return data[one + 18 : one + 21] == data[other + 18 : other + 21]


def _opened(data: Mapped, start: int, stop: int) -> ByteRange:
    """Mark the number of samples in the header as unknown."""
    head = bytearray(data[start : start + _INFO])
    head[21] &= 0xF0
    head[22:26] = bytes(4)
    return ByteRange(start + _INFO, stop, bytes(head))


def _after_id3(data: Mapped) -> int:
    if data[:3] != b"ID3" or len(data) < 10:
        return 0
    a, b, c, d = data[6:10]
    return 10 + (a << 21 | b << 14 | c << 7 | d)


def _rate_and_samples(data: Mapped, start: int) -> tuple[int, int]:
    packed = int.from_bytes(data[start + 18 : start + 26], "big")
    return packed >> 44, packed & 0xF_FFFF_FFFF


def _last_sample(data: Mapped, start: int, stop: int) -> int | None:
    """Return the sample after the last frame that starts in the last bytes of the file.

    Random bytes look like a frame about once in a thousand files: a frame at an unexpected position
    is accepted only if the frame before it ends there. ``None``: no such frame.
    """
    block = int.from_bytes(data[start + 10 : start + 12], "big")  # the largest
    _, n_samples = _rate_and_samples(data, start)
    tail = data[max(start + _INFO, stop - _TAIL) : stop]
    at = len(tail)
    begins: dict[int, int] = {}  # end of a frame by its start
    while (at := tail.rfind(b"\xff", 0, at)) >= 0:
        found = _frame(tail[at : at + 16], block)
        if found is None:
            continue
        first, last = found
        if last == n_samples or last in begins:
            return begins.get(last, last)
        begins[first] = last
    return None


def _frame(head: bytes, block: int) -> tuple[int, int] | None:
    """Return first sample of a frame and the one after its last; ``None`` if it is not a frame."""
    if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[3] & 1:
        return None
    size_code, number, at = head[2] >> 4, head[4], 5
    n_more = 0
    if number & 0x80:
        n_more = 8 - (number ^ 0xFF).bit_length() - 1
        if not 1 <= n_more <= 6:
            return None
        number &= 0x3F >> n_more
        for byte in head[5 : 5 + n_more]:
            if byte & 0xC0 != 0x80:
                return None
            number = number << 6 | byte & 0x3F
        at += n_more
    n_size = {6: 1, 7: 2}.get(size_code, 0)
    size = _block_size(size_code, head[at : at + n_size])
    at += n_size + {12: 1, 13: 2, 14: 2}.get(head[2] & 0xF, 0)
    if not size or at >= len(head) or _crc8(head[:at]) != head[at]:
        return None
    first = number if head[1] & 1 else number * block
    return first, first + size


def _block_size(code: int, more: bytes) -> int:
    if code in (6, 7):
        return int.from_bytes(more, "big") + 1
    if code >= 8:
        return int(256 << (code - 8))
    return 0 if not code else 192 if code == 1 else int(576 << (code - 2))


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07 if crc & 0x80 else crc << 1) & 0xFF
    return crc
