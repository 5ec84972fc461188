"""sedtf: train, compare and use recurrent sound event detectors from the command line."""

from __future__ import annotations

from sed_cli.system import working_folder as _working_folder  # noqa: F401  # first of all imports

__version__ = "0.2.0"
