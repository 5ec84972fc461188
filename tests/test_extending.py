"""The page for authors of components: its examples run as they are printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from sed_cli.app import app

PAGE = Path(__file__).parent.parent / "docs" / "extending.md"
_FILE = re.compile(r"^`(\w+\.py)`:\n\n```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)


# Each takes seconds; plugins of these kinds go through the command line in tests/test_kinds.py.
_SLOW = {"focal.py", "bidirectional.py", "leaky.py"}


def examples() -> dict[str, tuple[str, list[str]]]:
    """Source and commands by file name."""
    text = PAGE.read_text(encoding="utf-8")
    files = list(_FILE.finditer(text))
    ends = [found.start() for found in files[1:]] + [len(text)]
    return {
        found[1]: (
            found[2],
            [
                line
                for block in _COMMANDS.findall(text[found.end() : end])
                for line in block.splitlines()
            ],
        )
        for found, end in zip(files, ends, strict=True)
    }


def test_the_page_has_the_examples() -> None:
    assert list(examples()) == [
        "rising.py",
        "bidirectional.py",
        "focal.py",
        "presence.py",
        "leaky.py",
    ]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in _SLOW else name for name in examples()],
)
def test_an_example_runs_as_it_is_printed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source, commands = examples()[name]
    (tmp_path / name).write_text(source, encoding="utf-8")
    for command in commands:
        words = shlex.split(command)
        assert words.pop(0) == "sedtf"
        assert app(words, standalone_mode=False) == 0, command
    assert not (tmp_path / "__pycache__").exists()
