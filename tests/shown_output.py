"""The code blocks of a page, and whether its commands print what the page shows.

A block of ``output`` shows lines that commands above it on the page print. Sybil, mktestdocs and
pytest-markdown-docs make a test of each block, so pytest-xdist would spread the blocks of a page
over processes, though they build on each other in one folder. None compares what shell commands
print, and all would train at full size. So markdown-it finds the blocks, and the rest is here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from markdown_it import MarkdownIt

# Numbers with their unit of time; decimals and thousands belong to them, digits of a name do not.
_NUMBER = r"(?<![\w.])[+-]?\d[\d.,:]*(?:[ ](?:h|min|s|ms)\b)?"
_MASKED = (
    (re.compile(rf"{_NUMBER}(?: {_NUMBER})*"), "#"),
    (re.compile(r'"event_label": "[^"]*"'), '"event_label": "#"'),  # of another detector
    (re.compile(r"(?:\w+ # %(?:, )?)+$"), "#"),  # the classes that follow one, by their share
)
_MOST_LINES = 4  # of a page, for one line of a log


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    line: int  # of the fence


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    tokens = MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8"))
    return [
        Block(token.info.strip(), token.content, (token.map or [0])[0] + 1)
        for token in tokens
        if token.type == "fence"
    ]


def spaced(line: str) -> str:
    """A line with single spaces and short rules: widths of columns depend on what they hold."""
    return " ".join(re.sub(r"[━─]+", "─", line).split())


def masked(line: str) -> str:
    """A line without what depends on the machine, the size of the data or a training."""
    line = spaced(line)
    for pattern, mask in _MASKED:
        line = pattern.sub(mask, line)
    return line


@dataclass
class Printed:
    """What the commands of a page have printed so far."""

    exact: set[str] = field(default_factory=set)
    loose: set[str] = field(default_factory=set)

    def add(self, text: str, *, is_exact: bool) -> None:
        """Note what a command printed; its numbers count if they are always the same."""
        lines = text.splitlines()
        if is_exact:
            self.exact |= {spaced(line) for line in lines}
        else:
            self.loose |= {masked(line) for line in lines}

    def lacks(self, shown: str) -> list[str]:
        """Lines of a block that nothing printed.

        ``...`` stands for anything. Up to four lines of a page may be one line of a log.
        """
        lines = [line for line in shown.splitlines() if line.strip(" .")]
        missing, start = [], 0
        while start < len(lines):
            for length in range(1, _MOST_LINES + 1):
                if self._has(" ".join(lines[start : start + length])):
                    break
            else:
                missing.append(lines[start])
                length = 1
            start += length
        return missing

    def _has(self, line: str) -> bool:
        return _is_among(spaced(line), self.exact) or _is_among(masked(line), self.loose)


def _is_among(line: str, printed: set[str]) -> bool:
    if "..." not in line:
        return line in printed
    pattern = re.compile(".*".join(map(re.escape, line.split("..."))))
    return any(pattern.fullmatch(each) for each in printed)
