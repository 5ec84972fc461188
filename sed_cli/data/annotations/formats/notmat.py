"""The .not.mat of evTAF and evsonganaly: times in milliseconds, one letter per syllable.

evfuncs (0.3) also reads it, with the same function of scipy.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, ClassVar

from sed_cli.config.registry import component
from sed_cli.data.annotations.events import Annotations, Taken
from sed_cli.data.annotations.format import ReadOnlyFormat
from sed_cli.data.annotations.matlab import Variable, joined, read_variables
from sed_cli.data.annotations.rows import ReadOptions, RowCollector
from sed_cli.data.annotations.text import Text
from sed_cli.errors import DataError
from sed_cli.system.limits import SIZE_VARIABLE, raised_size

_NAMES = ("onsets", "offsets", "labels")
_LARGEST, _MOST_VALUES = 128 * 2**20, 10_000_000
_ENDING = ".not.mat"


@component("format", "notmat")
class NotMat(ReadOnlyFormat):
    """evTAF's .not.mat, one recording; or onsets, offsets and labels in another MATLAB file."""

    ORDER: ClassVar[int] = 1
    ending: ClassVar[str] = ".mat"
    names_files: ClassVar[bool] = False
    has_lines: ClassVar[bool] = False

    def fits(self, text: Text, options: ReadOptions) -> bool:
        """Detected by its variables."""
        return bool(text.binary) and {"onsets", "offsets"} <= set(_variables(text))

    def read(self, text: Text, options: ReadOptions) -> Annotations:
        """One event per syllable."""
        values = _load(text)
        onsets, offsets = (_numbers(values.get(name)) for name in _NAMES[:2])
        labels = _letters(values.get("labels"))
        unit = "ms" if text.path.name.lower().endswith(_ENDING) else None
        collector = RowCollector(text, options, units=(unit, unit))
        if len(onsets) != len(offsets) or (labels and len(labels) != len(onsets)):
            raise DataError(
                f"{text.path}: {len(onsets)} onsets, {len(offsets)} offsets and {len(labels)} "
                f"labels: expected equal numbers"
            )
        for number, (onset, offset) in enumerate(zip(onsets, offsets, strict=True)):
            collector.place = f"syllable {number + 1}: "
            label = labels[number] if labels else ""
            collector.add(None, text.path.stem, onset, offset, label)
        taken = Taken(time_unit=collector.time_unit)
        return collector.finish(self.name, names_files=False, taken=taken)


def _variables(text: Text) -> Mapping[str, Variable]:
    """The variables to read, those that the file has.

    Raises:
        DataError: if one is damaged, out of bounds or of another class.
    """
    if "mat" not in text.found:
        try:
            text.found["mat"] = read_variables(
                text.binary,
                _NAMES,
                most_bytes=raised_size(_LARGEST),
                most_values=raised_size(_MOST_VALUES),
            )
        except ValueError as error:
            raise DataError(
                f"{text.path}: a damaged MATLAB file, or not one of syllables ({error}); save it "
                f"again (the variable {SIZE_VARIABLE} raises its limits)"
            ) from error
    variables: Mapping[str, Variable] = text.found["mat"]
    return variables


def _load(text: Text) -> Mapping[str, Any]:
    from scipy.io import loadmat

    content = joined(text.binary, _variables(text).values())
    try:
        values: Mapping[str, Any] = loadmat(io.BytesIO(content), variable_names=list(_NAMES))
    except Exception as error:  # scipy may raise anything for a damaged file
        raise DataError(f"{text.path}: a damaged MATLAB file; save it again") from error
    return values


def _numbers(value: Any) -> list[str]:
    """Times as text; invalid ones are kept, and reported as faults."""
    return [] if value is None else [str(one) for one in value.ravel().tolist()]


def _letters(value: Any) -> list[str]:
    """One letter or one cell per syllable."""
    if value is None:
        return []
    cells = value.ravel().tolist()
    if value.dtype.kind == "U":
        return list("".join(cells)) if len(cells) == 1 else [cell.strip() for cell in cells]
    return [str(cell.ravel()[0]) if getattr(cell, "size", 0) else str(cell) for cell in cells]
