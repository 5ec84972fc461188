"""Subtitles of one recording: SubRip (.srt) and WebVTT (.vtt), as written by Whisper."""

from __future__ import annotations

import re
from typing import ClassVar

from sed_cli.config.registry import component
from sed_cli.data.annotations.events import Annotations
from sed_cli.data.annotations.format import ReadOnlyFormat
from sed_cli.data.annotations.numbers import Numbers
from sed_cli.data.annotations.rows import ReadOptions, RowCollector
from sed_cli.data.annotations.text import Text

_TIME = r"(?:\d{1,3}:)?\d{1,2}:\d{2}[.,]\d{1,3}"
_CUE = re.compile(rf"\s*({_TIME})\s*-->\s*({_TIME})(?:\s.*)?")
_TAG = re.compile(r"<[^<>]{0,200}>")
_SNIFFED = 200  # lines; WebVTT may start with notes and styles


@component("format", "subtitles")
class Subtitles(ReadOnlyFormat):
    """Subtitles, SubRip or WebVTT: the text is the label; one recording."""

    ORDER: ClassVar[int] = 1
    ending: ClassVar[str] = ".srt"
    more_endings: ClassVar[tuple[str, ...]] = (".vtt",)
    names_files: ClassVar[bool] = False

    def fits(self, text: Text, options: ReadOptions) -> bool:
        """Detected by the arrow between two times."""
        return any(_CUE.fullmatch(line) for line in text.lines[:_SNIFFED])

    def read(self, text: Text, options: ReadOptions) -> Annotations:
        """One event per cue."""
        collector = RowCollector(text, options, numbers=Numbers("."))
        at = 0
        while at < len(text.lines):
            cue = _CUE.fullmatch(text.lines[at])
            at += 1
            if cue is None:
                continue
            line, said = at, []
            while at < len(text.lines) and text.lines[at].strip():
                said.append(text.lines[at].strip())
                at += 1
            label = " ".join(_TAG.sub("", " ".join(said)).split())
            collector.add(line, text.path.stem, cue[1], cue[2], label)
        return collector.finish(self.name, names_files=False)
