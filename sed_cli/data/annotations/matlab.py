"""Variables of a MATLAB 5 file within bounds, before scipy reads them.

A compressed variable of some kilobytes may hold gigabytes, and a cell arrays of any size and class.
So only the variables that are needed are unpacked, up to a limit, and only those of numbers, of
text, and of cells of these are kept.
Source: MathWorks, "MAT-File Format", 2023.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from typing import NamedTuple

_HEADER = 128  # bytes of the file's
_ORDERS = {b"IM": "<", b"MI": ">"}
_MATRIX, _COMPRESSED = 14, 15  # elements
_CELLS, _TEXT, _NUMBERS = 1, 4, range(6, 16)  # classes of arrays
_HEAD = 4096  # bytes unpacked to find the name of a variable
_MOST_AXES = 32


class Variable(NamedTuple):
    """A variable: the number of its values, or cells, and its element of the file."""

    size: int
    element: bytes


def read_variables(
    data: bytes, names: Collection[str], *, most_bytes: int, most_values: int
) -> dict[str, Variable]:
    """Find variables by name.

    Args:
        data: of a file.
        names: of the variables to keep; others are not unpacked.
        most_bytes: limit of each when unpacked.
        most_values: limit of its values, and of those of each cell.

    Raises:
        ValueError: if one of them is damaged, out of bounds or of another class.
    """
    order = _ORDERS.get(data[126:_HEADER], "")
    found: dict[str, Variable] = {}
    at = _HEADER
    while order and at + 8 <= len(data):
        kind, length = struct.unpack_from(f"{order}II", data, at)
        whole = memoryview(data)[at : at + 8 + length]
        at += 8 + length
        if kind not in (_MATRIX, _COMPRESSED):
            continue
        try:
            start = _unpacked(whole[8:], _HEAD) if kind == _COMPRESSED else bytes(whole[:_HEAD])
            name = _Array(start, order).name
        except ValueError:  # whatever it was: it cannot be one of these
            continue
        if name not in names:
            continue
        element = _unpacked(whole[8:], most_bytes + 1) if kind == _COMPRESSED else bytes(whole)
        if len(element) > most_bytes:
            raise ValueError(f"{name} takes more than {most_bytes >> 20} MiB when unpacked")
        array = _Array(element, order)
        for each in (array, *(array.cells() if array.kind == _CELLS else ())):
            is_plain = each.kind in (_TEXT, *_NUMBERS) or (each is array and each.kind == _CELLS)
            if not is_plain or not 0 <= each.size <= most_values:
                raise ValueError(f"{name} is not an array of numbers or text, or too large")
        found[name] = Variable(array.size, element)
    return found


def joined(data: bytes, variables: Collection[Variable]) -> bytes:
    """A file of these variables alone, with the header of another."""
    return data[:_HEADER] + b"".join(variable.element for variable in variables)


def _unpacked(data: memoryview, most: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, most)
    except zlib.error as error:
        raise ValueError("a compressed variable is damaged") from error


class _Array:
    """The header of an array: its class, size and name."""

    def __init__(self, element: bytes, order: str) -> None:
        self._element, self._order = element, order
        try:
            if self._tag(0)[0] != _MATRIX:
                raise ValueError("an element that is no array")
            flags, at = self._part(8)
            axes, at = self._part(at)
            name, self._end = self._part(at)
            self.kind = struct.unpack_from(f"{order}I", flags)[0] & 0xFF
            n_axes = min(len(axes) // 4, _MOST_AXES)
            self.size = math.prod(struct.unpack_from(f"{order}{n_axes}i", axes))
        except struct.error as error:
            raise ValueError("an array without a whole header") from error
        self.name = name.decode("latin-1")

    def cells(self) -> Iterator[_Array]:
        """The arrays of a cell array, as far as there are any."""
        at = self._end
        while at + 8 <= len(self._element):
            _, start, length = self._tag(at)
            yield _Array(self._element[at : start + length], self._order)
            at = start + length

    def _part(self, at: int) -> tuple[bytes, int]:
        """The content of an element, and where the next one starts."""
        _, start, length = self._tag(at)
        end = start + length
        return self._element[start:end], end + -end % 8

    def _tag(self, at: int) -> tuple[int, int, int]:
        """Type of an element, start and length of its content; short ones are in the tag."""
        kind, length = struct.unpack_from(f"{self._order}II", self._element, at)
        if kind >> 16:
            return kind & 0xFFFF, at + 4, min(kind >> 16, 4)
        return kind, at + 8, length
