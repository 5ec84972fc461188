"""The contents of audio files, from their structure, without decoding.

A decoder trusts the header, or its own estimate, and stops there. This package compares the
header with the actual bytes; if there are more, the decoder gets the file with a corrected
header, or part by part.
"""

from __future__ import annotations

import mmap
from typing import BinaryIO

from sed_cli.audio.containers.chunks import read_chunks
from sed_cli.audio.containers.contents import ByteRange, Contents, Mapped, PartFile
from sed_cli.audio.containers.flac import read_flac
from sed_cli.audio.containers.mpeg import read_mpeg
from sed_cli.audio.containers.ogg import read_ogg

__all__ = ["ByteRange", "Contents", "PartFile", "examine"]

_READERS = (read_chunks, read_flac, read_ogg, read_mpeg)


def examine(file: BinaryIO) -> Contents:
    """Examine the contents of a file; for unknown formats the header is trusted.

    Args:
        file: opened for reading; it has a file descriptor.
    """
    try:
        data = Mapped(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (ValueError, OSError):  # empty, or cannot be mapped
        return Contents()
    with data:
        for read in _READERS:
            contents = read(data)
            if contents is not None:
                return contents
    return Contents()
