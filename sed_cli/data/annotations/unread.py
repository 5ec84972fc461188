"""Files that hold annotations, and are not read: what they are, and what to export instead."""

from __future__ import annotations

from pathlib import Path

_TABLE = "save the table as CSV"
_AS_TEXT = "open it in ELAN or Praat, and export it as .eaf or TextGrid"
_ADVICE = {
    ".xlsx": f"an Excel workbook, which is not read: {_TABLE}",
    ".xls": f"an Excel workbook, which is not read: {_TABLE}",
    ".ods": f"a spreadsheet, which is not read: {_TABLE}",
    ".numbers": f"a spreadsheet, which is not read: {_TABLE}",
    ".sqlite": f"a database (such as PAMGuard's), which is not read: {_TABLE}",
    ".sqlite3": f"a database (such as PAMGuard's), which is not read: {_TABLE}",
    ".parquet": f"a Parquet table, which is not read: {_TABLE}",
    ".feather": f"a Feather table, which is not read: {_TABLE}",
    ".rds": "R's own format, which is not read: write.csv(table, 'labels.csv')",
    ".rdata": "R's own format, which is not read: write.csv(table, 'labels.csv')",
    ".sv": "a session of Sonic Visualiser, which is not read: File > Export Annotation Layer",
    ".aup": "a project of Audacity, which is not read: File > Export > Export Labels",
    ".aup3": "a project of Audacity, which is not read: File > Export > Export Labels",
    ".trs": f"a transcript of Transcriber, which is not read: {_AS_TEXT}",
    ".exb": f"a transcript of EXMARaLDA, which is not read: {_AS_TEXT}",
    ".cha": f"a transcript of CLAN, which is not read: {_AS_TEXT}",
    ".antx": f"a file of Annotation Pro, which is not read: {_AS_TEXT}",
}
UNREAD_ENDINGS = frozenset(_ADVICE)
"""Lower case, with the dot."""


def advice_on(path: Path) -> str | None:
    """Say what a file is and what to do with it; ``None`` where its ending is none of these."""
    return _ADVICE.get(path.suffix.lower())
