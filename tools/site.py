"""MkDocs hooks (``mkdocs.yml``): pages of the root, pictures that open, no addresses of others.

Material can load Mermaid for diagrams, a polyfill for browsers from before 2020, and figures of
GitHub for a repository. No page here needs any of them; without the addresses none can be loaded.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sed_cli import __version__

ROOT = Path(__file__).parent.parent
# Pages of the site that stand in the root, where people and indexes look for them.
PAGES_OF_ROOT = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}

_PICTURE = re.compile(r'<img [^>]*src="([^"]+)"[^>]*>')
_ELSEWHERE = re.compile(r"https://(?:unpkg\.com|api\.github\.com|gitlab\.com)/[^\"'`?]*")


def on_config(config: Any) -> Any:
    """Show the version that ``sedtf --version`` prints."""
    config.copyright = f"sedtf {__version__}"
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that stand in the root."""
    from mkdocs.structure.files import File

    for page, source in PAGES_OF_ROOT.items():
        text = (ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Link the pages that stand in the root to their copies."""
    for page, source in PAGES_OF_ROOT.items():
        markdown = markdown.replace(f"](../{source}", f"]({page}")
    return markdown


def on_page_content(html: str, **_: Any) -> str:
    """Let each picture open by itself: on a phone, its labels are read at full size."""
    return _PICTURE.sub(r'<a href="\1">\g<0></a>', html)


def on_post_build(config: Any) -> None:
    """Remove the addresses that scripts could load from."""
    for script in Path(config.site_dir).rglob("*.js"):
        if script.name.startswith("search_index"):
            continue
        source = script.read_text(encoding="utf-8")
        cleaned = _ELSEWHERE.sub("", source)
        if cleaned != source:
            script.write_text(cleaned, encoding="utf-8")
