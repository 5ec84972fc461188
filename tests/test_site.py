"""The documentation site: it builds strictly, and its pages load nothing from other hosts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from sed_cli import __version__
from tools.site import PAGES_OF_ROOT

ROOT = Path(__file__).parent.parent
_LOADED_BY_STYLE = re.compile(r"url\(.?(https?:)?//|@import")
PARTS = ["Tutorials", "How-to guides", "Reference", "Explanation"]


def navigation() -> Any:
    return yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]


def pages_of(entry: Any) -> list[str]:
    """All pages under a navigation entry, in order."""
    if isinstance(entry, str):
        return [entry]
    children = entry.values() if isinstance(entry, dict) else entry
    return [page for child in children for page in pages_of(child)]


def test_every_page_is_in_the_navigation_once() -> None:
    there = [path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/**/*.md")]
    assert sorted(pages_of(navigation())) == sorted([*there, *PAGES_OF_ROOT])


def test_the_navigation_has_the_four_parts_of_diataxis() -> None:
    assert [title for entry in navigation()[1:] for title in entry] == PARTS


class Loaded(HTMLParser):
    """Addresses that a page loads by itself, not those of links."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag != "a":
            self.addresses += [
                given[key] or "" for key in ("src", "srcset", "data") if key in given
            ]
        if tag == "link" and given.get("rel") != "canonical":
            self.addresses.append(given.get("href") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material", reason="needs sedtf[docs]")
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder


@pytest.mark.slow
def test_pages_load_nothing_from_another_host(site: Path) -> None:
    pages = list(site.glob("**/*.html"))
    assert len(pages) > len(pages_of(navigation()))  # and the page of a dead link
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = Loaded()
        loaded.feed(text)
        assert loaded.addresses, page.name
        for address in loaded.addresses:
            assert not re.match(r"(https?:)?//", address), f"{page.name}: {address}"
        for style in re.findall(r"<style.*?</style>", text, re.DOTALL):
            assert not re.search(r"url\(.?(https?:)?//|@import", style), page.name
    for sheet in site.glob("**/*.css"):
        assert not re.search(r"url\(.?(https?:)?//|@import", sheet.read_text(encoding="utf-8")), (
            sheet
        )
    bundles = list(site.glob("assets/javascripts/bundle.*.js"))
    assert bundles
    for bundle in bundles:
        assert not re.search(r"unpkg\.com|api\.github\.com|googleapis", bundle.read_text("utf-8"))


@pytest.mark.slow
def test_a_picture_opens_at_full_size(site: Path) -> None:
    page = (site / "tutorial_teacher_forcing.html").read_text(encoding="utf-8")
    opened = re.findall(r'<a href="(images/[^"]+)"><img [^>]*src="\1"', page)
    assert len(opened) == page.count("<img ") > 1
    assert all((site / target).is_file() for target in opened)


@pytest.mark.slow
def test_the_site_is_searched_on_its_own_and_shows_the_version(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    found = {
        entry["location"].split("#")[0] for entry in index["docs"] if "sampler" in entry["text"]
    }
    assert {"settings.html", "method.html", "commands.html"} <= found
    assert f"sedtf {__version__}" in (site / "index.html").read_text(encoding="utf-8")
