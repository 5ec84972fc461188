"""Read text files and tables as sequences that are not yet split into symbols."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.annotations.text import Text, read_text, split_lines
from sed_cli.errors import DataError

log = logging.getLogger(__name__)

_DELIMITERS = ("\t", ",", ";")


@dataclass(frozen=True, eq=False)
class Texts:
    """Sequences as text; none is empty.

    Args:
        targets: (N,)
        sources: (N,) texts that the targets are made from, or None.
    """

    targets: Sequence[str]
    sources: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: NDArray[np.int64]) -> Texts:
        """Return some of the sequences."""
        chosen = rows.tolist()
        sources = None if self.sources is None else [self.sources[row] for row in chosen]
        return Texts([self.targets[row] for row in chosen], sources)


def read_lines(path: Path) -> Texts:
    """Read one sequence per line; lines of white space only are skipped and counted.

    Raises:
        DataError: if the file is missing, is not UTF-8 text, or contains no sequence.
    """
    lines = _read(path, "text").lines
    # The part after the last line break is not a line.
    n_lines = len(lines) - (not lines[-1])
    kept = [line for line in lines if line and not line.isspace()]
    _say_skipped(path, n_lines - len(kept), "empty lines")
    if not kept:
        raise DataError(f"{path}: contains no sequence; expected one per line")
    return Texts(kept)


def read_pairs(path: Path, source_column: str, target_column: str) -> Texts:
    """Read two columns of a table with a header; rows that lack either are skipped.

    Fields may be quoted; white space around them is stripped.

    Raises:
        DataError: if the file is missing, is not UTF-8 text, or has no such columns or no pair.
    """
    text = _read(path, "table")
    delimiter, source, target = _find_columns(text, source_column, target_column)
    rows = split_lines(text.lines, delimiter, quotes=True)
    next(rows)
    sources, targets, skipped = [], [], []
    for line, fields in rows:
        if max(source, target) < len(fields) and fields[source] and fields[target]:
            sources.append(fields[source])
            targets.append(fields[target])
        else:
            skipped.append(line)
    first = f" (the first is line {skipped[0]})" if skipped else ""
    _say_skipped(path, len(skipped), f"rows without {source_column} or {target_column}{first}")
    if not targets:
        raise DataError(
            f"{path}: contains no pair; expected rows with {source_column} and {target_column}"
        )
    return Texts(targets, sources)


def _read(path: Path, what: str) -> Text:
    text = read_text(path, what)
    if text.faults:
        raise DataError(str(text.faults[0]))
    return text


def _say_skipped(path: Path, n_skipped: int, what: str) -> None:
    if n_skipped:
        log.info("%s: %d %s are skipped", path, n_skipped, what)


def _find_columns(text: Text, source: str, target: str) -> tuple[str, int, int]:
    """Return the separator of the columns, and the indices of the two."""
    headers = [next(split_lines(text.lines, one, quotes=True), (0, [""]))[1] for one in _DELIMITERS]
    # Match names as written, otherwise ignoring case.
    for fold in (str, str.casefold):
        for delimiter, names in zip(_DELIMITERS, headers, strict=True):
            folded = [fold(name) for name in names]
            if fold(source) in folded and fold(target) in folded:
                return delimiter, folded.index(fold(source)), folded.index(fold(target))
    names = max(headers, key=len)
    shown = ", ".join(name[:40] for name in names[:8])
    raise DataError(
        f"{text.path}: the header has {shown or 'nothing'}, but not both {source} and {target}; "
        f"name the columns: data.source_column=NAME data.target_column=NAME"
    )
