"""Ogg: pages of one or several chained streams (Xiph.org, RFC 3533)."""

from __future__ import annotations

import struct

from sed_cli.audio.containers.contents import ByteRange, Contents, Mapped

_FIRST, _LAST = 2, 4  # flags of a page
_HEADER = struct.Struct("<4sBBqIIIB")


def read_ogg(data: Mapped) -> Contents | None:
    """Find the streams of an Ogg file, and whether its last page is whole."""
    if data[:4] != b"OggS":
        return None
    at, size = 0, len(data)
    starts: list[int] = []
    numbers: dict[int, int] = {}
    in_head = False
    loss: str | None = None
    flags = 0
    while at < size:
        if data[at : at + 4] != b"OggS":
            found = data.find(b"OggS\0", at)
            if found < 0:  # trailing bytes are not audio
                break
            loss = "it has damaged pages"
            at = found
        if at + _HEADER.size > size:
            return _contents(starts, at, size, "")
        _, _, flags, _, stream, number, _, n_segments = _HEADER.unpack_from(data, at)
        body = at + _HEADER.size + n_segments
        stop = body + sum(data[at + _HEADER.size : body])
        if stop > size or body > size:
            return _contents(starts, at, size, "")
        if flags & _FIRST:
            # of several parallel ones, such as sound and pictures, the first counts
            if not in_head:
                starts.append(at)
                numbers = {}
            in_head = True
        else:
            in_head = False
            if number != numbers.get(stream, number - 1) + 1:
                loss = "some of its pages are missing"
        numbers[stream] = number
        at = stop
        data.give_back(at)
    contents = _contents(starts, at, at, loss)
    if loss is None and not flags & _LAST:
        note = "its last page is not marked as the last: it may have been cut"
        return Contents(parts=contents.parts, notes=(*contents.notes, note))
    return contents


def _contents(starts: list[int], whole_to: int, size: int, loss: str | None) -> Contents:
    if len(starts) < 2:
        return Contents(loss=loss)
    stops = [*starts[1:], whole_to if loss is None else size]
    parts = tuple(ByteRange(start, stop) for start, stop in zip(starts, stops, strict=True))
    note = f"{len(parts)} streams one after the other: all of them are read"
    return Contents(parts=parts, notes=(note,), loss=loss)
