"""The XML of Koumura and Okanoya's birdsong recognition data set: notes of sequences, in samples.

crowsetta (5.0) reads it too, but needs pandera and evfuncs for five elements, with a parser
that expands entities. A note's position counts from the start of its sequence.

Source: Koumura and Okanoya 2016, "Automatic recognition of element classes and boundaries in the
birdsong with variable sequences".
"""

from __future__ import annotations

from typing import ClassVar
from xml.etree.ElementTree import Element

from sed_cli.config.registry import component
from sed_cli.data.annotations.documents import xml_of, xml_or_none
from sed_cli.data.annotations.events import Annotations, Taken
from sed_cli.data.annotations.format import ReadOnlyFormat
from sed_cli.data.annotations.rows import ReadOptions, RowCollector
from sed_cli.data.annotations.text import Text
from sed_cli.data.annotations.units import SAMPLES


@component("format", "koumura")
class Koumura(ReadOnlyFormat):
    """XML of the birdsong recognition data set: sequences of notes, in samples."""

    ORDER: ClassVar[int] = 1
    ending: ClassVar[str] = ".xml"
    has_lines: ClassVar[bool] = False

    def fits(self, text: Text, options: ReadOptions) -> bool:
        """Detected by its root."""
        root = xml_or_none(text)
        return root is not None and root.tag == "Sequences"

    def read(self, text: Text, options: ReadOptions) -> Annotations:
        """All notes; their times stay in samples."""
        unit = (SAMPLES, SAMPLES)
        collector = RowCollector(text, options, lasting=True, units=unit)
        for number, sequence in enumerate(xml_of(text).iter("Sequence"), start=1):
            name, start = _text(sequence, "WaveFileName"), _text(sequence, "Position")
            notes = list(sequence.iter("Note"))
            if not notes:
                collector.add(None, name, "", "", "")
            for note in notes:
                collector.place = f"sequence {number}: "
                onset = _sum(start, _text(note, "Position"))
                label = _text(note, "Label")
                collector.add(None, name, onset, _text(note, "Length"), label)
        taken = Taken(time_unit=collector.time_unit)
        return collector.finish(self.name, names_files=True, taken=taken)


def _text(element: Element, tag: str) -> str:
    return " ".join((element.findtext(tag) or "").split())


def _sum(start: str, position: str) -> str:
    """The position in the recording; unchanged if one is not a number."""
    try:
        return repr(float(start) + float(position))
    except ValueError:
        return position or start
