"""What README, docs and ``--help`` show runs on small data, or has a reason not to.

Commands end with exit code 0, or the one that a comment names; Python programs run; and the text of
``output`` blocks is printed.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sed_cli.app import app
from tests.shown_commands import (
    NOT_RUN,
    PAGES,
    commands_of,
    is_exact,
    made_small,
    make_workshop,
    shown,
    why_not,
)
from tests.shown_output import Printed, blocks
from tests.shown_pages import names_of, prepare

STEPS = shown()
SHOWN = {
    where: [command for block in steps for command in commands_of(block)]
    for where, steps in STEPS.items()
}
# RUN stands for a detector, but for a sequence model where words are continued.
_OF_WORDS = re.compile(r"fox|prefixes|yes ''|data=tokens")


def is_run(where: str) -> bool:
    """Whether something on a page, or in the help of a verb, is run here."""
    return any(
        why_not(where, step) is None
        for block in STEPS[where]
        for step in (["python"] if block.language == "python" else commands_of(block))
    )


def test_commands_are_found_on_all_pages_and_in_every_help() -> None:
    assert {"README.md", "tutorial_own_recordings.md", "commands.md", "--help train"} <= set(SHOWN)
    assert sum(map(len, SHOWN.values())) > 150


def test_each_reason_not_to_run_a_command_still_holds_for_one() -> None:
    every = [f"{where}: {command}" for where, commands in SHOWN.items() for command in commands]
    for each in NOT_RUN:
        assert any(re.search(each.pattern, line) for line in every), each.pattern


def test_every_block_names_its_language() -> None:
    known = {"sh", "python", "output", "text", "toml", "yaml"}
    found = {(page.name, block.line): block.language for page in PAGES for block in blocks(page)}
    assert {place: language for place, language in found.items() if language not in known} == {}


def test_output_is_shown_below_a_command_that_is_run() -> None:
    shows = [where for where in STEPS if any(each.language == "output" for each in STEPS[where])]
    assert {"index.md", "tutorial_own_recordings.md", "transfer.md"} <= set(shows)
    for where in shows:
        first = next(at for at, step in enumerate(STEPS[where]) if step.language == "output")
        above = [command for step in STEPS[where][:first] for command in commands_of(step)]
        assert any(why_not(where, command) is None for command in above), where


def test_shown_lines_are_those_printed_but_for_numbers_that_depend_on_the_run() -> None:
    printed = Printed()
    printed.add(
        "epoch 1/2  loss 0.71  F1 0.000\nread: 12 files of a, b, c and 3 more", is_exact=False
    )
    assert printed.lacks("epoch 7/40  loss 0.2860  F1 0.5\n...\n") == []
    assert printed.lacks("read: 40 files of a, b,\nc and 9 more") == []
    assert printed.lacks("read: 40 files of a, ...") == []
    assert printed.lacks("epoch 7/40  loss 0.2860") == ["epoch 7/40  loss 0.2860"]
    assert printed.lacks("epoch 7/40  loss 0.2860  ER 0.5") != []
    printed.add("| scheduled | 5350 |\ntrain   28  0:04:31", is_exact=True)
    assert printed.lacks("| scheduled | 5350 |\ntrain 28 0:04:31") == []
    assert printed.lacks("train 27 0:04:31") == ["train 27 0:04:31"]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, recordings: Path) -> Path:
    folder = tmp_path_factory.mktemp("workshop")
    make_workshop(folder, recordings)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("where", [where for where in STEPS if is_run(where)])
def test_commands_and_programs_run_and_print_what_is_shown(
    where: str,
    workshop: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = shutil.copytree(workshop, tmp_path / "workshop", symlinks=True)
    prepare(where, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "120")
    printed = Printed()
    wrong = []
    for block in STEPS[where]:
        if block.language == "python" and why_not(where, "python") is None:
            # the lines of a traceback are those of the page
            source = "\n" * block.line + block.text
            exec(compile(source, where, "exec"), {"__name__": "__main__", **names_of(where)})
        elif block.language == "output":
            wrong += printed.lacks(block.text)
        for command in commands_of(block):
            if why_not(where, command) is not None:
                continue
            code = run(command, folder)
            out, err = capfd.readouterr()
            told = (out + err + written(command, folder)).replace(f"{folder}/", "")
            printed.add(told, is_exact=is_exact(command))
            wrong += [] if code == exit_code(command) else [f"{command}: {code}", *err.splitlines()]
    assert wrong == []


def written(command: str, folder: Path) -> str:
    """What standard output was directed into."""
    into = re.search(r" > (\S+)", command)
    return (folder / into[1]).read_text(encoding="utf-8") if into else ""


def exit_code(command: str) -> int:
    """As a comment behind the command names it; 0 without one."""
    named = re.search(r"# exit code (\d+)$", command)
    return int(named[1]) if named else 0


def run(command: str, folder: Path) -> int:
    """Run a command in a prepared folder: in this process, unless it needs a shell."""
    if _OF_WORDS.search(command):
        command = command.replace("checkpoint=RUN", "checkpoint=WORDS")
    words = shlex.split(command, comments=True)
    before, _, after = command.partition("sedtf ")
    given, _, into = after.partition(" > ")
    if before or into:
        small = shlex.join(made_small(shlex.split(given, comments=True)))
        target = f" > {into.split()[0]}" if into else ""
        return in_a_shell(f"{before}sedtf {small}{target}", folder)
    return int(app(made_small(words[1:]), standalone_mode=False) or 0)


def in_a_shell(line: str, folder: Path) -> int:
    """Run a line with stand-ins for recorders and downloads first on the path."""
    program = folder / "bin" / "sedtf"
    if not program.exists():
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sed_cli "$@"\n')
        program.chmod(0o755)
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(PAGES[0].parent)},
        check=False,
    )
    return done.returncode
