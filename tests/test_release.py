"""The version of a release agrees wherever it is stated."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from sed_cli import __version__

ROOT = Path(__file__).parent.parent


def test_the_citation_and_the_changelog_name_the_version_and_its_date() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.search(r"^## \[(\d[^\]]*)\] - (\S+)$", changelog, re.MULTILINE)
    assert released
    assert released[1] == __version__ == cited["version"]
    assert released[2] == str(cited["date-released"])


def test_the_page_on_installing_shows_the_version() -> None:
    page = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert f"```output\nsedtf {__version__}\n```" in page
