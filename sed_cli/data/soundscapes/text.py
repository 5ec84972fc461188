"""The text of small files that settings name."""

from __future__ import annotations

from pathlib import Path

from sed_cli.errors import DataError


def read_setting(path: Path, setting: str) -> str:
    """Read a file in UTF-8.

    Args:
        path: of the file.
        setting: what messages call it, such as ``data.transition=FILE``.

    Raises:
        DataError: if it is missing, or no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"{setting}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{setting}: cannot be read as text ({error})") from error
