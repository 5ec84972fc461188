"""Exceptions shown to users. Any module may import this one; it imports no other part of sedtf."""

from __future__ import annotations


class SedtfError(Exception):
    """Base of all errors reported as one line instead of a traceback."""

    exit_code = 1


class UserError(SedtfError):
    """The input is invalid: the message gives the value, the expected value and the remedy."""

    exit_code = 2


class ConfigError(UserError):
    """An invalid configuration; ``faults`` lists every fault found, one line each."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = list(faults)
        super().__init__("; ".join(self.faults))


class DataError(UserError):
    """Invalid audio or annotations."""


class CheckpointError(UserError):
    """A checkpoint that is missing, incomplete or incompatible with the request."""
