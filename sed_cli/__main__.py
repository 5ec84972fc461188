"""``python -m sed_cli`` is the command ``sedtf``."""

from __future__ import annotations

from sed_cli.app import main

main()
