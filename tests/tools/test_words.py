"""The check of words reads the text that people read, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.words import INSTEAD, files, found_in


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("The run goes on\nwhere it stopped.\n", False),  # by line: a list, not a grammar
        ("A run goes on where it stopped.\n", True),
        ("The teacher tossed coins.\n", True),
        ("`sampler.coins` is a key.\n", False),
        ("```sh\necho the truth\n```\n", False),
        ("A file a recording.\n", True),
        ("A file a few pages long.\n", False),
    ],
)
def test_prose_is_checked_and_code_is_not(text: str, is_found: bool, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    assert bool(found_in(page)) == is_found


def test_strings_of_python_are_checked_with_their_line(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text('"""A page."""\n\ncoins = 1\nraise ValueError("predict the truth")\n')
    (line,) = found_in(module)
    assert ":4: 'the truth'; write: ground truth" in line


def test_nothing_on_the_list_is_written_anywhere() -> None:
    assert [line for path in files() for line in found_in(path)] == []
    assert all(better for better in INSTEAD.values())
