"""Limits of what is read, raised by environment variables where larger files are meant."""

from __future__ import annotations

import math
import os

from sed_cli.errors import UserError

SIZE_VARIABLE, LINES_VARIABLE = "SEDTF_LARGEST_MB", "SEDTF_MOST_LINES"
_LARGEST_MB, _MOST_LINES = 256, 3_000_000


def number_of(variable: str, usual: float, unit: str) -> float:
    """A limit above 0 from the environment, or the usual one.

    Raises:
        UserError: if the variable is not such a number.
    """
    given = os.environ.get(variable) or usual
    try:
        limit = float(given)
    except ValueError:
        limit = 0.0
    if not 0 < limit < math.inf:
        raise UserError(f"{variable}={given}: expected a number of {unit}, such as {usual:.15g}")
    return limit


def largest_mb() -> float:
    """Maximum size of an annotation file in megabytes."""
    return number_of(SIZE_VARIABLE, _LARGEST_MB, "megabytes")


def most_lines() -> int:
    """Maximum number of lines of an annotation file."""
    return round(number_of(LINES_VARIABLE, _MOST_LINES, "lines"))


def raised_size(limit: int) -> int:
    """Raise a limit of bytes or values by as much as the variable raises that of annotations."""
    return round(limit * max(1.0, largest_mb() / _LARGEST_MB))


def raised_lines(limit: int) -> int:
    """Raise a limit of lines by as much as the variable raises that of annotations."""
    return round(limit * max(1.0, most_lines() / _MOST_LINES))
