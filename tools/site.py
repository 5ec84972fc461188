"""MkDocs hooks (``mkdocs.yml``): the version in the footer, and no addresses of other hosts.

Material can load Mermaid for diagrams, a polyfill for browsers from before 2020, and figures of
GitHub for a repository. No page here needs any of them; without the addresses none can be loaded.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sed_cli import __version__

_ELSEWHERE = re.compile(r"https://(?:unpkg\.com|api\.github\.com|gitlab\.com)/[^\"'`?]*")


def on_config(config: Any) -> Any:
    """Show the version that ``sedtf --version`` prints."""
    config.copyright = f"sedtf {__version__}"
    return config


def on_post_build(config: Any) -> None:
    """Remove the addresses that scripts could load from."""
    for script in Path(config.site_dir).rglob("*.js"):
        if script.name.startswith("search_index"):
            continue
        source = script.read_text(encoding="utf-8")
        cleaned = _ELSEWHERE.sub("", source)
        if cleaned != source:
            script.write_text(cleaned, encoding="utf-8")
