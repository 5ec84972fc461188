"""Every picture of the documentation is drawn by a script, and shown on a page."""

from __future__ import annotations

import re
from pathlib import Path

from tools.pictures import OF_OTHERS, PICTURES, TRAININGS

ROOT = Path(__file__).parent.parent.parent
IMAGES = ROOT / "docs" / "images"


def test_pictures_of_the_pages_are_those_that_scripts_draw() -> None:
    shown = {
        Path(target).name
        for page in (ROOT / "README.md", *ROOT.glob("docs/*.md"))
        for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    }
    assert shown == {path.name for path in IMAGES.iterdir()}
    assert shown == {*PICTURES, *OF_OTHERS}


def test_runs_that_pictures_need_are_described() -> None:
    assert {picture.run for picture in PICTURES.values() if picture.run} == set(TRAININGS)
