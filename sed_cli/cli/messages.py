"""Messages to the user: on standard error, one line per fault."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from sed_cli.errors import ConfigError, UserError
from sed_cli.system.files import full_disk
from sed_cli.system.shortage import shortage
from sed_cli.system.text import PlainFormatter, one_line, plain


def say(line: str) -> None:
    """Print a line on standard error."""
    sys.stderr.write(f"sedtf: {plain(line)}\n")


def report(error: BaseException, verb: str = "") -> None:
    """Print an error, one line per fault; with its traceback if ``SEDTF_DEBUG`` is set.

    Args:
        error: the error.
        verb: that failed, for the remedy if the machine ran out of something.
    """
    if os.environ.get("SEDTF_DEBUG"):
        traceback.print_exception(error)
    is_known = isinstance(error, UserError) and full_disk(error) is None
    if not is_known and (lack := shortage(error, verb)):
        say(lack)
        return
    faults = error.faults if isinstance(error, ConfigError) else [one_line(error)]
    for fault in faults:
        say(fault)


@contextmanager
def log_to_stderr() -> Iterator[None]:
    """Show log messages while a verb without a log file runs."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter())
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
