"""Files that are whole or absent: written beside their place, then moved there in one step."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to; what stands there afterwards takes the place of ``path``.

    The folder of ``path`` is made where it is missing. If the block raises, ``path`` is left as it
    was and the half-written file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The ending stays last, since image writers go by it.
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        # os.replace, since it overwrites on every platform.
        os.replace(temporary, path)  # noqa: PTH105
    finally:
        temporary.unlink(missing_ok=True)
