"""Matching names of recordings and of their annotations in different spellings."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from sed_cli.data.annotations import WRITTEN
from sed_cli.data.endings import AUDIO_ENDINGS, SCORES_ENDING

_DRIVE = re.compile(r"^[a-z]:(?=/|$)")
# Suffixes that people and programs append to a recording's name for its annotations. They contain
# nothing that distinguishes siblings, such as a number or a date.
_SUFFIX = re.compile(
    r"(?:\.not|[ ._-](?:labels?|labelled|label[ _-]?track|annotations?|annotated|annots?|annos?"
    r"|ann|events?|selections?|segments?|tags?|times(?:tamps?)?|strong|gt|ground[_-]?truth|truth"
    r"|reference|ref|audacity|raven|birdnet|results?|table|table[ ._-]?\d+|manual|corrected|checked"
    r"|reviewed))"
    r"$",
    re.IGNORECASE,
)


_CUT = re.compile(r"[ ._-](?=.)")


def parts_of(name: str) -> tuple[str, ...]:
    """Return folders and name of a recording, equal for all spellings of one path.

    Case, Unicode's compositions, ``\\`` for ``/``, a drive and ``./`` make no difference.
    """
    plain = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    plain = _DRIVE.sub("", plain.replace("\\", "/"))
    return tuple(part for part in posixpath.normpath(plain).split("/") if part.strip("."))


def key_of(name: str) -> str:
    """Return a recording's name without folders and ending, equal for all spellings."""
    parts = parts_of(name)
    return stem_of(parts[-1]) if parts else ""


def path_of(name: str) -> tuple[str, ...]:
    """Return folders and name of a recording without its ending, equal for all spellings."""
    return (*parts_of(name)[:-1], key_of(name))


def stem_of(name: str) -> str:
    """Return a recording's name without the ending of an audio file."""
    return Path(name).stem if Path(name).suffix.lower() in AUDIO_ENDINGS else name


def without_suffixes(stem: str) -> Iterator[str]:
    """Yield possible recording names of an annotation file: ``x`` of ``x.Table.1.selections``."""
    while match := _SUFFIX.search(stem):
        stem = stem[: match.start()].rstrip(" ._-")
        if not stem:
            return
        yield stem


def by_common_suffix(files: Collection[str], recordings: Collection[str]) -> dict[str, str]:
    """Match names that differ from those of recordings by a suffix shared by two or more.

    ``a_js`` and ``b_js`` are for ``a`` and ``b``, or ``a`` and ``b`` for ``a_16k`` and ``b_16k``;
    nothing matches if a suffix is a number, or if one name has several.

    Returns:
        The recording of each file.
    """
    for longer, shorter, is_file in ((files, recordings, True), (recordings, files, False)):
        suffixes: dict[str, dict[str, str]] = {}
        owners: Counter[str] = Counter()
        bases = set(shorter) - set(longer)
        for name in set(longer) - set(shorter):
            for cut in _CUT.finditer(name):
                base, suffix = name[: cut.start()], name[cut.start() :]
                if base in bases:
                    owners[base] += 1
                    if any(letter.isalpha() for letter in suffix):
                        suffixes.setdefault(suffix, {})[base] = name
        found = {
            base: name
            for of_suffix in suffixes.values()
            if len(of_suffix) > 1
            for base, name in of_suffix.items()
            if owners[base] == 1
        }
        if found:
            return {name: base for base, name in found.items()} if is_file else found
    return {}


def predicted_name(path: Path) -> str | None:
    """Return the recording that ``sedtf predict`` would have written such a file of, or None."""
    if path.name.lower().endswith(SCORES_ENDING):
        return path.name[: -len(SCORES_ENDING)]
    endings = "|".join(re.escape(ending) for ending in sorted(_endings_of_predictions()))
    match = re.fullmatch(rf"(?P<name>.+)\.events(?:{endings})", path.name, re.IGNORECASE)
    return match["name"] if match else None


def _endings_of_predictions() -> set[str]:
    return {".jsonl", *(known.ending for known in WRITTEN.values())}
