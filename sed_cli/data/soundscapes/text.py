"""The text of small files that settings name."""

from __future__ import annotations

from pathlib import Path

from sed_cli.errors import DataError
from sed_cli.system.structured import read_plain, why


def read_setting(path: Path, setting: str) -> str:
    """Read a file in UTF-8.

    Args:
        path: of the file.
        setting: its name in messages, such as ``data.transition=FILE``.

    Raises:
        DataError: if it is missing or not text.
    """
    try:
        return read_plain(path)
    except FileNotFoundError as error:
        raise DataError(f"{setting}: no such file") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{setting}: cannot be read as text ({why(error)})") from error
