"""ELAN's .eaf: annotations of one recording in tiers, their times in slots of milliseconds.

pympi-ling (1.70.2, of 2021) reads them too, but parses the whole file with a parser that
expands entities, and reports neither faults nor elements beside a tier.

Source: https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf
"""

from __future__ import annotations

from typing import ClassVar
from xml.etree.ElementTree import Element

from sed_cli.config.registry import component
from sed_cli.data.annotations.documents import xml_of, xml_or_none
from sed_cli.data.annotations.events import Annotations
from sed_cli.data.annotations.format import ReadOnlyFormat
from sed_cli.data.annotations.rows import ReadOptions, RowCollector
from sed_cli.data.annotations.text import Text
from sed_cli.data.annotations.tiers import Mark, Tier, read_tiers


@component("format", "elan")
class Elan(ReadOnlyFormat):
    """ELAN's .eaf: one tier per class, or a tier with labels; one recording."""

    ORDER: ClassVar[int] = 1
    ending: ClassVar[str] = ".eaf"
    names_files: ClassVar[bool] = False
    has_lines: ClassVar[bool] = False

    def fits(self, text: Text, options: ReadOptions) -> bool:
        """Detected by its root."""
        root = xml_or_none(text)
        return text.path.suffix.lower() == self.ending or (
            root is not None and root.tag == "ANNOTATION_DOCUMENT"
        )

    def read(self, text: Text, options: ReadOptions) -> Annotations:
        """All annotations with a text; dependent ones have the times of their parent."""
        root = xml_of(text)
        header = root.find("HEADER")
        in_ms = header is None or header.get("TIME_UNITS", "milliseconds") == "milliseconds"
        unit = "ms" if in_ms else "s"
        collector = RowCollector(text, options, units=(unit, unit))
        return read_tiers(text, options, _tiers(root, collector), collector, self.name)


def _tiers(root: Element, collector: RowCollector) -> list[Tier]:
    slots = {slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")}
    times: dict[str, tuple[str, str]] = {}
    parents: dict[str, str] = {}
    for one in root.iter("ALIGNABLE_ANNOTATION"):
        ends = [slots.get(one.get(f"TIME_SLOT_REF{n}")) or "" for n in (1, 2)]
        times[one.get("ANNOTATION_ID", "")] = (ends[0], ends[1])
    for one in root.iter("REF_ANNOTATION"):
        parents[one.get("ANNOTATION_ID", "")] = one.get("ANNOTATION_REF", "")
    found = []
    for element in root.iter("TIER"):
        tier = Tier(element.get("TIER_ID", ""))
        for one in (*element.iter("ALIGNABLE_ANNOTATION"), *element.iter("REF_ANNOTATION")):
            value = " ".join((one.findtext("ANNOTATION_VALUE") or "").split())
            onset, offset = _times_of(one.get("ANNOTATION_ID", ""), times, parents)
            if not (onset and offset):
                collector.note("annotations without times, skipped")
            elif value:
                tier.marks.append(Mark(None, onset, offset, value))
        found.append(tier)
    return found


def _times_of(
    key: str, times: dict[str, tuple[str, str]], parents: dict[str, str]
) -> tuple[str, str]:
    for _ in range(len(parents) + 1):
        if key in times or key not in parents:
            break
        key = parents[key]
    return times.get(key, ("", ""))
