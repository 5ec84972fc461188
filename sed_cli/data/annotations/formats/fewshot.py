"""The tables of DCASE's few-shot task: a column a class, with POS, NEG or UNK in each row.

Source: Nolasco et al. 2023, "Learning to detect an animal sound from five examples".
"""

from __future__ import annotations

from typing import ClassVar

from sed_cli.config.registry import component
from sed_cli.data.annotations.events import Annotations
from sed_cli.data.annotations.format import ReadOnlyFormat
from sed_cli.data.annotations.headers import Header, find_header, rows_below
from sed_cli.data.annotations.rows import ReadOptions
from sed_cli.data.annotations.tables import collector_for, recording_of, table_rows
from sed_cli.data.annotations.text import Text
from sed_cli.errors import DataError

_VALUES = frozenset(("POS", "NEG", "UNK"))
_SNIFFED = 1000  # rows


@component("format", "fewshot")
class FewShot(ReadOnlyFormat):
    """DCASE's few-shot tables: one column per class, with POS, NEG or UNK."""

    ORDER: ClassVar[int] = 2
    ending: ClassVar[str] = ".csv"

    def fits(self, text: Text, options: ReadOptions) -> bool:
        """By the values of its columns."""
        header = find_header(text, options.columns)
        return header is not None and bool(_classes(text, header))

    def read(self, text: Text, options: ReadOptions) -> Annotations:
        """An event per row and class that is POS; a row with UNK is a span of unknown content."""
        header = find_header(text, options.columns)
        if header is None or not (classes := _classes(text, header)):
            raise DataError(f"{text.path}: no table with columns of POS, NEG and UNK")
        collector = collector_for(text, options, header)
        end = header.index.get("offset", header.index.get("duration", -1))
        place = header.index.get("filename", -1)
        for number, fields in table_rows(text, header, collector):
            name = fields[place] if place >= 0 else recording_of(text.path)
            values = {label: fields[i].upper() for label, i in classes.items()}
            for label, value in values.items():
                if value == "POS":
                    collector.add(number, name, fields[header.index["onset"]], fields[end], label)
            if "UNK" in values.values():
                collector.add_unknown(number, name, fields[header.index["onset"]], fields[end])
            elif "POS" not in values.values():
                collector.empty(name, number)
        names_files = place >= 0
        return collector.finish(self.name, names_files=names_files, taken=header.taken("s"))


def _classes(text: Text, header: Header) -> dict[str, int]:
    """Columns that hold these values alone, by the classes that they are called by."""
    if "onset" not in header.index:
        return {}
    found: list[set[str]] = [set() for _ in header.names]
    for seen, (_, fields) in enumerate(rows_below(text, header)):
        if seen >= _SNIFFED:
            break
        for values, field in zip(found, fields, strict=False):
            values.add(field.upper())
    return {
        name: i
        for i, (name, values) in enumerate(zip(header.names, found, strict=True))
        if values and values <= _VALUES and name
    }
