"""The page for authors of components: its examples run exactly as printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from sed_cli.app import app

PAGE = Path(__file__).parent.parent / "docs" / "extending.md"
_FILE = re.compile(r"^`(\w+\.py)`:\n\n```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)


# The others take seconds; plugins of their kinds are tested through the command line in
# tests/test_kinds.py.
_QUICK = {"rising.py", "presence.py"}


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


def test_no_example_of_the_page_is_passed_over() -> None:
    found = examples()
    assert len(found) == PAGE.read_text(encoding="utf-8").count("\n```python\n")
    assert set(found) >= _QUICK
    assert all(commands for _, commands in found.values())


@pytest.mark.parametrize(
    "name",
    [name if name in _QUICK else pytest.param(name, marks=pytest.mark.slow) for name in examples()],
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
