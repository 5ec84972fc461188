"""Unsupported annotation files, with the format to export instead."""

from __future__ import annotations

from pathlib import Path

_TABLE = "save the table as CSV"
_AS_TEXT = "open it in ELAN or Praat, and export it as .eaf or TextGrid"
_ADVICE = {
    ".xlsx": f"an Excel workbook, which is not supported: {_TABLE}",
    ".xls": f"an Excel workbook, which is not supported: {_TABLE}",
    ".ods": f"a spreadsheet, which is not supported: {_TABLE}",
    ".numbers": f"a spreadsheet, which is not supported: {_TABLE}",
    ".sqlite": f"a database (such as PAMGuard's), which is not supported: {_TABLE}",
    ".sqlite3": f"a database (such as PAMGuard's), which is not supported: {_TABLE}",
    ".parquet": f"a Parquet table, which is not supported: {_TABLE}",
    ".feather": f"a Feather table, which is not supported: {_TABLE}",
    ".rds": "R's own format, which is not supported: write.csv(table, 'labels.csv')",
    ".rdata": "R's own format, which is not supported: write.csv(table, 'labels.csv')",
    ".sv": "a session of Sonic Visualiser, which is not supported: File > Export Annotation Layer",
    ".aup": "a project of Audacity, which is not supported: File > Export > Export Labels",
    ".aup3": "a project of Audacity, which is not supported: File > Export > Export Labels",
    ".trs": f"a transcript of Transcriber, which is not supported: {_AS_TEXT}",
    ".exb": f"a transcript of EXMARaLDA, which is not supported: {_AS_TEXT}",
    ".cha": f"a transcript of CLAN, which is not supported: {_AS_TEXT}",
    ".antx": f"a file of Annotation Pro, which is not supported: {_AS_TEXT}",
}
UNREAD_ENDINGS = frozenset(_ADVICE)
"""Ending in lower case, with the dot."""


def advice_on(path: Path) -> str | None:
    """Describe an unsupported file and the remedy; ``None`` for other endings."""
    return _ADVICE.get(path.suffix.lower())
