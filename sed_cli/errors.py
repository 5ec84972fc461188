"""The exceptions a user can meet. Anyone may import this module; it imports nothing of sedtf."""

from __future__ import annotations


class SedtfError(Exception):
    """Base of all errors that are reported as one clear line instead of a traceback."""

    exit_code = 1


class UserError(SedtfError):
    """The user's input is at fault: what was got, what was expected, what to do."""

    exit_code = 2


class ConfigError(UserError):
    """A configuration that cannot work; ``faults`` lists every fault found, one line each."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = list(faults)
        super().__init__("; ".join(self.faults))


class DataError(UserError):
    """Audio or annotations that cannot be used as they are."""


class CheckpointError(UserError):
    """A checkpoint that is missing, incomplete or does not fit what is asked of it."""
