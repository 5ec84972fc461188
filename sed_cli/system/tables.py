"""Tables for spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from sed_cli.system.files import replacing
from sed_cli.system.text import cell

Rows = Iterable[Sequence[object]]


def write_csv(path: Path, columns: Sequence[str], rows: Rows) -> None:
    """Write a table atomically; file names in it may be invalid text, or formulas."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([cell(each) for each in row] for row in rows)
