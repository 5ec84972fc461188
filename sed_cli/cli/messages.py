"""Messages to the user: on standard error, one line per fault."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from sed_cli.errors import ConfigError
from sed_cli.system.files import full_disk
from sed_cli.system.text import PlainFormatter, one_line, plain


def say(line: str) -> None:
    """Print a line on standard error."""
    sys.stderr.write(f"sedtf: {plain(line)}\n")


def report(error: BaseException) -> None:
    """Print an error, one line per fault; with its traceback if ``SEDTF_DEBUG`` is set."""
    if os.environ.get("SEDTF_DEBUG"):
        traceback.print_exception(error)
    full = full_disk(error)
    if full is not None:
        place = f" of {full}" if full.parts else ""
        say(f"the disk{place} or its quota is full: free some space, or write elsewhere")
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
