"""Sonic Visualiser's layers: regions, notes and instants, as .svl or exported as CSV.

A CSV of regions is a list ``onset value duration label``, without a header.

Source: https://www.sonicvisualiser.org/doc/reference/4.5/en/
"""

from __future__ import annotations

from typing import ClassVar

from sed_cli.config.registry import component
from sed_cli.data.annotations.documents import xml_of, xml_or_none
from sed_cli.data.annotations.events import Annotations
from sed_cli.data.annotations.format import ReadOnlyFormat
from sed_cli.data.annotations.numbers import END_DIGITS
from sed_cli.data.annotations.rows import ReadOptions, RowCollector
from sed_cli.data.annotations.text import Text
from sed_cli.data.annotations.tiers import Mark, Tier, read_tiers
from sed_cli.errors import DataError


@component("format", "visualiser")
class SonicVisualiser(ReadOnlyFormat):
    """Sonic Visualiser's layer (.svl): regions, notes or instants of one recording."""

    ORDER: ClassVar[int] = 1
    ending: ClassVar[str] = ".svl"
    names_files: ClassVar[bool] = False
    has_lines: ClassVar[bool] = False

    def fits(self, text: Text, options: ReadOptions) -> bool:
        """Detected by its root."""
        root = xml_or_none(text)
        return text.path.suffix.lower() == self.ending or (root is not None and root.tag == "sv")

    def read(self, text: Text, options: ReadOptions) -> Annotations:
        """All points of its sparse layers, one tier per layer."""
        root = xml_of(text)
        points = {each.get("id"): list(each.iter("point")) for each in root.iter("dataset")}
        collector = RowCollector(text, options)
        tiers = []
        for number, model in enumerate(root.iter("model"), start=1):
            if model.get("type") != "sparse":
                continue
            rate = _number(model.get("sampleRate"))
            if not rate:
                raise DataError(f"{text.path}: layer {number} has no sample rate")
            tier = Tier(model.get("name", ""), holds_points=True)
            for point in points.get(model.get("dataset"), []):
                onset, duration = (_number(point.get(key)) for key in ("frame", "duration"))
                if onset is None:
                    collector.fault(None, f"layer {number}: a point without a frame")
                    continue
                tier.holds_points &= not duration
                end = _seconds(onset + duration, rate) if duration else ""
                label = " ".join((point.get("label") or "").split())
                tier.marks.append(Mark(None, _seconds(onset, rate), end, label))
            tiers.append(tier)
        return read_tiers(text, options, tiers, collector, self.name)


def _number(value: str | None) -> float | None:
    try:
        return float(value or "")
    except ValueError:
        return None


def _seconds(samples: float, rate: float) -> str:
    return repr(round(samples / rate, END_DIGITS))
