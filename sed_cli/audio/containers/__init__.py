"""What audio files hold by their own structure, told without decoding them.

A decoder believes the header, or its own estimate, and reads no further. Here the bytes that are
there are compared with what the header says of them; where there is more, the file is handed to the
decoder with a header that says so, or part by part.
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
    """Tell what a file holds; of a format that is not known here, nothing: its header is trusted.

    Args:
        file: opened for reading; it has a file descriptor.
    """
    try:
        data = Mapped(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (ValueError, OSError):  # empty, or not to be mapped
        return Contents()
    with data:
        for read in _READERS:
            contents = read(data)
            if contents is not None:
                return contents
    return Contents()
